import io

import numpy as np
import pytest
import torch
from matplotlib.colors import LogNorm

from custom.evaluation.panel_figure import draw_rows
from custom.evaluation.panel_rows import REFERENCE, Row, View, detail_row, image_row, residual_row

TITLES = {
    "cubic": ("cubic B-splines, data-consistent", "20.00"),
    "model": ("ours", "23.00"),
    REFERENCE: ("truth", ""),
}


def rows():
    random = np.random.default_rng(0)
    images = {name: random.random((40, 30)) for name in TITLES}
    grey = {"cmap": "gray", "vmin": 0, "vmax": 1}
    whole = Row(images, "slice", grey, "", (0.1, 0.2), (4, 6, 8, 10), scale_bar=True)
    spectra = {name: random.random((12, 15)) + 0.1 for name in ("cubic", "model")}
    style = {"cmap": "magma", "norm": LogNorm(0.1, 1.1)}
    return [whole, Row(spectra, "spectrum", style, "k-space", None)]


def test_a_column_a_method_and_a_row_a_kind():
    figure = draw_rows(rows(), TITLES, "m1", best="model")
    upper, lower = figure.axes[:3], figure.axes[3:6]
    for axes, row in ((upper, rows()[0]), (lower, rows()[1])):
        for ax, method in zip(axes, TITLES, strict=True):
            if method in row.images:
                np.testing.assert_array_equal(ax.images[0].get_array(), row.images[method].T)
            else:
                assert not ax.images
                assert not ax.axison
    assert [ax.get_title() for ax in upper] == [
        "cubic B-splines,\ndata-consistent\n20.00",
        "ours\n23.00",
        "truth\n",
    ]
    assert [ax.title.get_fontweight() == "bold" for ax in upper] == [False, True, False]
    # X runs to the right and Y upwards, in true proportions: 40 x 0.1 mm by 30 x 0.2 mm
    assert upper[0].images[0].origin == "lower"
    assert upper[0].get_aspect() == pytest.approx(2)
    assert figure.get_suptitle() == "m1"


def test_bars_and_frames_are_where_a_row_wants_them():
    figure = draw_rows(rows(), TITLES)
    bars = figure.axes[6:]
    assert [bar.axison for bar in bars] == [False, True]
    assert bars[1].get_ylabel() == "k-space"
    frames = [ax.patches[0].get_bbox().bounds for ax in figure.axes[:3]]
    assert frames == [(3.5, 5.5, 8, 10)] * 3
    # A fifth of 4 mm is nearest to 1 mm, which is 10 pixels.
    assert figure.axes[0].texts[0].get_text() == "1 mm"
    assert figure.axes[0].patches[1].get_width() == pytest.approx(10)
    assert not figure.axes[1].texts


def test_panels_have_the_shape_of_their_images():
    figure = draw_rows(rows(), TITLES, inches=2)
    width, height = figure.get_size_inches()
    boxes = [ax.get_position(original=True) for ax in (figure.axes[0], figure.axes[3])]
    shapes = [box.height * height / (box.width * width) for box in boxes]
    assert shapes[0] / shapes[1] == pytest.approx(30 * 0.2 / (40 * 0.1))


@pytest.mark.parametrize("reference", [0.0, -1.0, 3.0, float("nan")])
def test_an_empty_slice_is_drawn_beside_one_that_is_not(reference):
    """A reference without a bright end has no window of its own; warnings are errors here."""
    label = torch.full((1, 12, 10), reference)
    restored = torch.rand(label.shape, generator=torch.Generator().manual_seed(0))
    for inside in (None, np.zeros((12, 10), bool)):
        view = View({"label": label, "pred": restored}, {"model": "pred"}, inside=inside)
        rows = [image_row(view, "image", frame=True), detail_row(view), residual_row(view)]
        figure = draw_rows(rows, {"model": ("ours", ""), REFERENCE: ("truth", "")})
        figure.savefig(io.BytesIO(), dpi=30)
        window = rows[0].style
        assert 0 == window["vmin"] < window["vmax"] < np.inf
