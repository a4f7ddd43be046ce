import numpy as np
from small_evaluation import NAMES, VOLUME_MEASURES, metric_rows, volume_rows

from custom.evaluation.image_measures import mse, psnr
from custom.evaluation.measure_figures import draw_distributions, draw_means
from custom.evaluation.summary import summarise

ABOUT = {measure.name: measure.about() for measure in (mse(), psnr())}


def test_every_slice_is_a_point():
    rows = metric_rows()
    rows[0]["psnr"] = float("inf")  # equal to its reference: no place on the axis
    figure = draw_distributions(
        rows, {name: ABOUT[name] for name in ("mse", "psnr")}, NAMES | {"model": "APDDM"}
    )
    assert [ax.get_title() for ax in figure.axes] == [
        "MSE (lower is better)",
        "PSNR [dB] (higher is better)",
    ]
    numbers = [len(points.get_offsets()) for points in figure.axes[1].collections]
    assert numbers == [3, 4, 4]
    heights = sorted(figure.axes[1].collections[2].get_offsets()[:, 1])
    np.testing.assert_allclose(heights, [22, 23, 26, 27])
    ticks = [tick.get_text() for tick in figure.axes[0].get_xticklabels()]
    assert ticks == ["input\n(nearest)", "bicubic", "APDDM"]


def test_curves_are_means_of_what_is_finite():
    rows = [row | {"lpips": None} for row in volume_rows()]
    equal = {"scan": "v3", "noise_level": "0", "method": "model", "psnr": float("inf")}
    levels = summarise([*rows, rows[-1] | equal], VOLUME_MEASURES, ["noise_level"])
    figure = draw_means(levels["groups"]["noise_level"], "noise", {"psnr": ABOUT["psnr"]})
    (panel,) = figure.axes
    for line, means in zip(panel.lines, ([30, 27], [30.5, 27.5]), strict=True):
        np.testing.assert_allclose(line.get_xdata(), [0, 0.3])
        np.testing.assert_allclose(line.get_ydata(), means)
