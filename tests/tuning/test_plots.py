import numpy as np
import optuna
import pytest
from PIL import Image

from custom.tuning.plots import draw_search, parameter_importances, write_plots


def rates_that_matter(search, sign=1):
    """Fill a search in which only the learning rate decides; every other trial is hybrid."""
    random = np.random.default_rng(0)
    for number in range(24):
        rate = 10 ** random.uniform(-5, -1)
        search.trial(
            [sign * (np.log10(rate) + 3) ** 2],
            learning_rate=rate,
            width=int(random.choice([4, 8])),
            optimizer=str(random.choice(["Adam", "SGD"])),
            **({"loss": "hybrid", "alpha": random.uniform()} if number % 2 else {}),
        )
    return search.study


def test_history_shows_completed_trials_and_the_best_so_far(small_search):
    search = small_search()
    for values, state in (([3.0], "COMPLETE"), ([9.0], "PRUNED"), ([1.0], "COMPLETE")):
        search.trial(values, state)
    search.trial([2.0])
    figures = draw_search(search.study, "val_mse")
    (ax,) = figures["history"].axes
    points = np.concatenate([marks.get_offsets() for marks in ax.collections])
    assert {tuple(point) for point in points.tolist()} == {(0, 3.0), (2, 1.0), (3, 2.0)}
    (line,) = ax.lines
    best = dict(zip(line.get_xdata(), line.get_ydata(), strict=True))
    assert (best[0], best[2], best[3]) == (3.0, 1.0, 1.0)
    assert ax.get_ylabel() == "val_mse"


def test_curves_tell_the_best_the_completed_and_the_pruned_apart(small_search):
    search = small_search()
    search.trial([5.0, 4.0])
    search.trial([9.0], "PRUNED")
    search.trial([5.0, 3.0])
    (ax,) = draw_search(search.study, "val_mse")["intermediate"].axes
    lines = {line.get_label(): line for line in ax.lines}
    assert len({line.get_color() for line in lines.values()}) == 3
    assert {label: list(line.get_ydata()) for label, line in lines.items()} == {
        "completed": [5.0, 4.0],
        "not completed": [9.0],
        "best": [5.0, 3.0],
    }
    heaviest = max(ax.lines, key=lambda line: line.get_linewidth())
    assert heaviest.get_label() == "best"


@pytest.mark.parametrize(("direction", "sign"), [("minimize", 1), ("maximize", -1)])
def test_importances_find_the_parameter_that_decides(small_search, direction, sign):
    importances = parameter_importances(rates_that_matter(small_search(direction), sign))
    # alpha was drawn in half of the trials only.
    assert set(importances) == {"width", "optimizer", "learning_rate", "loss", "alpha"}
    assert next(iter(importances)) == "learning_rate"
    assert importances["learning_rate"] > 0.5
    assert sum(importances.values()) == pytest.approx(1)


def test_no_importances_where_nothing_can_be_told(small_search):
    few = small_search()
    for value in range(5):
        few.trial([float(value)])
    assert parameter_importances(few.study) == {}
    assert "importances" not in draw_search(few.study, "val_mse")
    equal = small_search()
    for _ in range(8):
        equal.trial([1.0])
    assert parameter_importances(equal.study) == {}


@pytest.mark.parametrize(
    "draw",
    [
        lambda trial: trial.suggest_float("x", 0.0, 1.0),
        lambda trial: trial.suggest_int("x", 1, 2) + trial.suggest_categorical("y", [7]),
        lambda trial: [4, 2][trial.suggest_categorical("x", [0, 1])],
    ],
)
def test_one_parameter_alone_has_no_importance_and_is_drawn(draw):
    study = optuna.create_study()
    study.optimize(draw, n_trials=12)
    assert parameter_importances(study) == {}
    assert list(draw_search(study, "val_mse")) == ["history", "slice"]


def test_slices_show_the_most_important_parameters(small_search):
    figures = draw_search(rates_that_matter(small_search()), "val_mse")
    *panels, _ = figures["slice"].axes
    shown = {ax.get_xlabel(): ax for ax in panels}
    assert set(shown) == {"width", "optimizer", "learning_rate", "loss", "alpha"}
    assert shown["learning_rate"].get_xscale() == "log"
    assert sum(len(marks.get_offsets()) for marks in shown["alpha"].collections) == 12
    assert all(ax.get_yscale() == "log" for ax in panels)  # from below 0.1 to 4


def test_only_what_there_is_to_draw(small_search):
    search = small_search()
    assert draw_search(search.study, "val_mse") == {}
    search.trial([], "FAIL")
    assert draw_search(search.study, "val_mse") == {}
    search.trial([4.0, 3.0], "FAIL")
    assert draw_search(search.study, "val_mse") == {}
    search.trial([4.0, 3.0], "PRUNED")
    assert set(draw_search(search.study, "val_mse")) == {"intermediate"}
    search.trial([2.0])
    assert set(draw_search(search.study, "val_mse")) == {"intermediate", "history"}
    search.trial([1.0])
    assert set(draw_search(search.study, "val_mse")) == {"intermediate", "history", "slice"}


def test_pictures_are_files(small_search, tmp_path):
    files = write_plots(rates_that_matter(small_search()), tmp_path / "plots", "val_mse")
    names = ["history", "intermediate", "importances", "slice"]
    assert [file.stem for file in files] == names
    assert sorted(path.stem for path in (tmp_path / "plots").iterdir()) == sorted(names)
    for file in files:
        with Image.open(file) as picture:
            assert picture.format == "PNG"
            assert min(picture.size) > 200
