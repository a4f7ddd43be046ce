import pytest
import torch

from custom.analysis.dwi.compared_networks import ComparedNetwork
from custom.analysis.dwi.error_figures import draw_calibration, styles_of
from custom.analysis.dwi.network_figures import draw_loss_curves, draw_reconstructions
from custom.networks.nets.tensor_informed_denoiser import TensorInformedDenoiser

NINE = [f"network {i}" for i in range(9)]


def test_no_two_networks_look_alike():
    found = styles_of(["noisy", *NINE, "WLS"])
    assert list(found) == ["noisy", *NINE, "WLS"]
    assert len({found[name]["color"] for name in found}) == 9 + 1  # both others are grey
    many = styles_of([f"network {i}" for i in range(30)])
    assert len({(style["color"], style["linestyle"]) for style in many.values()}) == 30


def calibration():
    keys = ("mean_squared_z", "within_1", "correlation")
    rows = [
        {"sigma": sigma, "estimator": name, **dict.fromkeys(keys, 0.5 + 0.01 * i)}
        for i, name in enumerate([*NINE, "limit"])
        for sigma in (0.1, 0.9)
    ]
    return draw_calibration(rows, styles_of(NINE))


def losses():
    curves = {name: {"train_loss": {1: 3.0, 2: 2.0}, "val_mse": {1: 0.2}} for name in NINE}
    return draw_loss_curves(curves, styles_of(NINE))


def reconstructions():
    clean = torch.linspace(1, 0.1, 32).expand(4, 32)
    restored = {name: clean * (1 - 0.01 * i) for i, name in enumerate(NINE)}
    return draw_reconstructions(clean, clean + 1, restored, styles_of(NINE))


@pytest.mark.parametrize("draw", [calibration, losses, reconstructions])
def test_a_legend_hides_nothing(draw):
    figure = draw()
    figure.draw_without_rendering()
    (legend,) = figure.legends
    box = legend.get_window_extent()
    assert figure.bbox.x0 <= box.x0
    assert box.x1 <= figure.bbox.x1
    for ax in figure.axes:
        assert ax.get_legend() is None
        assert not box.overlaps(ax.get_tightbbox())


def test_each_signal_has_the_error_of_each_network():
    shown = [[text.get_text() for text in ax.texts] for ax in reconstructions().axes[4:]]
    mean_square = float(torch.linspace(1, 0.1, 32).square().mean())
    assert shown == [[f"{(0.01 * i) ** 2 * mean_square:.3f}" for i in range(9)]] * 4


def test_errors_of_tensors_are_not_drawn_beside_those_of_signals(tmp_path):
    (tmp_path / "metrics.csv").write_text("epoch,train_loss,val_mse\n1,3.0,0.02\n")
    for head, expected in (("signal", {"train_loss", "val_mse"}), ("tensor", {"train_loss"})):
        network = TensorInformedDenoiser(head=head)
        found = ComparedNetwork("ours", network, None, tmp_path / "metrics.csv").curves()
        assert expected <= set(found)
        assert ("val_mse" in found) == ("val_mse" in expected)
