import pytest

from custom.errors import InputError
from custom.report.training_curves import draw_curves, read_curves

TABLE = (
    "epoch,train_loss,val_mse,val_psnr,learning_rate,seconds\n1,2.0,,,0.1,3\n2,0.1,0.2,30,0.05,3\n"
)


def test_curves_are_read_with_their_gaps(tmp_path):
    (tmp_path / "metrics.csv").write_text(TABLE)
    curves = read_curves(tmp_path / "metrics.csv")
    assert curves["train_loss"] == {1: 2.0, 2: 0.1}
    assert curves["val_mse"] == {2: 0.2}


def test_training_and_validation_share_a_panel(tmp_path):
    curves = {
        "train_mse": {1: 2.0, 2: 0.1},
        "val_mse": {2: 0.2},
        "learning_rate": {1: 0.1, 2: 0.05},
        "seconds": {1: 3.0},
    }
    figure = draw_curves(curves)
    assert [ax.get_title() for ax in figure.axes] == ["mse", "learning_rate"]
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    assert list(lines) == ["train_mse", "val_mse"]
    assert list(lines["train_mse"].get_ydata()) == [2.0, 0.1]
    assert [ax.get_yscale() for ax in figure.axes] == ["log", "linear"]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("step,loss\n1,2\n", "lacks"),
        ("epoch,loss\n", "no epoch"),
        ("epoch,loss\n1,x\n", "no number"),
    ],
)
def test_a_broken_table_is_named(tmp_path, text, word):
    (tmp_path / "metrics.csv").write_text(text)
    with pytest.raises(InputError, match=word):
        read_curves(tmp_path / "metrics.csv")


def test_adversarial_losses_stand_beside_their_optimum():
    curves = {"train_critic_loss": {1: 0.4, 2: 0.6}, "train_pixel_loss": {1: 0.4, 2: 0.6}}
    critic, pixel = draw_curves(curves).axes
    (dashed,) = [line for line in critic.lines if line.get_linestyle() == "--"]
    assert dashed.get_ydata() == pytest.approx([0.6931471805599453] * 2)
    assert [line.get_linestyle() for line in pixel.lines] == ["-"]
