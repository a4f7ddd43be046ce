import numpy as np
import pytest
from small_evaluation import NAMES, metric_rows

from custom.evaluation.image_measures import lpips, mse, psnr
from custom.evaluation.measure_figures import draw_distributions, draw_means

ABOUT = {measure.name: measure.about() for measure in (mse(), psnr(), lpips())}


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
    rows = [
        {"method": method, "noise_level": level, "psnr": 30 - 10 * level + gain, "lpips": None}
        for gain in (0.0, 2.0)
        for level in (0.3, 0.0)
        for method in ("cubic", "model")
    ]
    rows.append({"method": "model", "noise_level": 0.0, "psnr": float("inf"), "lpips": None})
    figure = draw_means(
        rows, "noise_level", "noise", {"psnr": ABOUT["psnr"], "lpips": ABOUT["lpips"]}
    )
    (panel,) = figure.axes
    assert len(panel.lines) == 2
    for line in panel.lines:
        np.testing.assert_allclose(line.get_xdata(), [0, 0.3])
        np.testing.assert_allclose(line.get_ydata(), [31, 28])
    with pytest.raises(ValueError, match="measures"):
        draw_means(rows, "noise_level", "noise", {"lpips": ABOUT["lpips"]})
