from dataclasses import replace

import numpy as np
import pytest
from small_evaluation import metric_rows

from custom.evaluation.draw_slices import draw_comparison, draw_distributions
from custom.evaluation.slice_panels import Comparison


@pytest.fixture
def rows():
    return metric_rows()


def comparison(low=None, high=None, pixel_mm=(0.1, 0.2)):
    random = np.random.default_rng(0)
    high = random.random((40, 30)) if high is None else high
    low = high + 0.1 * random.standard_normal(high.shape) if low is None else low
    return Comparison(
        scan="m1_axial",
        plane="axial",
        slice_index=3,
        chosen="middle slice",
        low=low,
        restored=(low + high) / 2,
        high=high,
        pixel_mm=pixel_mm,
        measures={
            "input": {"mse": 0.2, "psnr": 20.0, "ssim": 0.5},
            "model": {"mse": 0.1, "psnr": 23.0, "ssim": 0.4},
        },
    )


def shown(figure):
    return {ax.get_title(): ax.images[0] for ax in figure.axes if ax.images and ax.get_title()}


def test_images_share_a_window_and_residuals_a_symmetric_scale():
    item = comparison()
    panels = shown(draw_comparison(item))
    assert list(panels) == [
        "low resolution",
        "restored",
        "reference",
        "low resolution - reference",
        "restored - reference",
    ]
    limits = [image.get_clim() for image in panels.values()]
    assert len(set(limits[:3])) == 1
    assert limits[3] == limits[4]
    assert limits[3][0] == -limits[3][1]
    np.testing.assert_allclose(
        panels["restored - reference"].get_array(), (item.restored - item.high).T
    )
    # X runs to the right and Y upwards, in true proportions: 40 x 0.1 mm by 30 x 0.2 mm
    assert panels["restored"].origin == "lower"
    assert panels["restored"].axes.get_aspect() == pytest.approx(2)


def test_a_peer_has_an_image_and_a_residual_map_beside_the_model():
    item = comparison()
    peer = item.high + 0.01
    figure = draw_comparison(replace(item, peers={"unet": peer}), {"model": "APDDM"})
    panels = shown(figure)
    assert list(panels) == [
        "low resolution",
        "plain U-Net",
        "APDDM",
        "reference",
        "low resolution - reference",
        "plain U-Net - reference",
        "APDDM - reference",
    ]
    np.testing.assert_allclose(panels["plain U-Net - reference"].get_array(), 0.01)
    assert len({image.get_clim() for image in list(panels.values())[4:]}) == 1


def test_the_best_of_each_measure_is_bold():
    figure = draw_comparison(comparison())
    table = next(ax for ax in figure.axes if ax.tables).tables[0]
    bold = {
        (line, column)
        for (line, column), cell in table.get_celld().items()
        if cell.get_text().get_fontweight() == "bold"
    }
    assert bold == {(2, 0), (2, 1), (1, 2)}


def test_methods_are_called_what_the_evaluation_calls_them(rows):
    names = {"model": "APDDM"}
    table = next(ax for ax in draw_comparison(comparison(), names).axes if ax.tables).tables[0]
    assert [table[line, -1].get_text().get_text() for line in (1, 2)] == [
        "input (nearest)",
        "APDDM",
    ]
    ticks = draw_distributions(rows, ["psnr"], names).axes[0].get_xticklabels()
    assert [tick.get_text() for tick in ticks] == ["input\n(nearest)", "bicubic", "APDDM"]


def test_an_empty_slice_can_be_drawn(tmp_path):
    nothing = np.zeros((12, 12))
    draw_comparison(comparison(nothing, nothing)).savefig(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_every_slice_is_a_point(rows):
    rows[0]["psnr"] = float("inf")  # equal to its reference: no place on the axis
    figure = draw_distributions(rows, ["mse", "psnr"])
    assert [ax.get_title() for ax in figure.axes] == [
        "MSE (lower is better)",
        "PSNR [dB] (higher is better)",
    ]
    numbers = [len(points.get_offsets()) for points in figure.axes[1].collections]
    assert numbers == [3, 4, 4]
