import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from custom.evaluation.panel_rows import (
    REFERENCE,
    View,
    detail_row,
    detail_window,
    image_row,
    residual_row,
    slice_view,
)

METHODS = {"input": "image", "model": "pred"}


@pytest.fixture
def item():
    """A volume whose input is off by noise, and whose restoration by 0.01."""
    random = torch.Generator().manual_seed(0)
    affine = torch.tensor([[0.0, 2, 0, 0], [1.5, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    label = torch.rand((1, 18, 24, 5), generator=random)
    noise = 0.1 * torch.randn(label.shape, generator=random)
    return {"label": MetaTensor(label, affine=affine), "image": label + noise, "pred": label + 0.01}


def test_a_slice_looks_the_same_alone_and_in_its_stack(item):
    single = {key: values[..., 4] for key, values in item.items()}
    one, other = View(single, METHODS), slice_view(item, METHODS, 4)
    for view in (one, other):
        np.testing.assert_array_equal(view.reference, item["label"][0, ..., 4])
        np.testing.assert_array_equal(view.images["model"], item["pred"][0, ..., 4])
    assert slice_view(item, METHODS).index == 2
    assert other.pixel_mm == (1.5, 2.0)  # the first axis runs along y


def test_images_share_a_grey_window_up_to_the_bright_end_of_the_reference(item):
    row = image_row(slice_view(item, METHODS), frame=True)
    assert list(row.images) == ["input", "model", REFERENCE]
    white = np.percentile(item["label"][0, ..., 2].numpy(), 99.8)
    assert (row.style["vmin"], row.style["vmax"]) == (0, pytest.approx(white))
    first, second, rows, columns = row.frame
    expected = item["pred"][0, first : first + rows, second : second + columns, 2]
    np.testing.assert_array_equal(detail_row(slice_view(item, METHODS)).images["model"], expected)


def test_residuals_share_a_symmetric_scale(item):
    view = slice_view(item, METHODS)
    row = residual_row(view)
    noise = (item["image"] - item["label"])[0, ..., 2].numpy()
    np.testing.assert_allclose(row.images["input"], noise, atol=1e-6)
    np.testing.assert_allclose(row.images["model"], 0.01, atol=1e-6)
    limit = np.percentile(np.abs(noise), 99.5)  # the larger of both methods'
    assert row.style["vmax"] == -row.style["vmin"] == pytest.approx(limit, rel=1e-5)
    detail = residual_row(view, detail=True)
    np.testing.assert_array_equal(detail.images["input"], view.detail(row.images["input"]))
    equal = residual_row(slice_view(item | {"image": item["label"]}, {"input": "image"}))
    assert equal.style["vmax"] == 1.0  # no window of no width


def test_the_window_is_where_the_detail_is():
    image = np.zeros((30, 60))
    image[21:27:2, 33:50] = 1.0
    first, second, rows, columns = detail_window(image)
    assert (rows, columns) == (10, 20)
    assert first <= 20
    assert first + rows >= 27
    assert second <= 33
    assert second + columns >= 50
