from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from diffusion_series import make_series, restored_item, study_table
from dipy.core.gradients import gradient_table
from dipy.reconst.dti import TensorModel

from custom.analysis.dwi.panels import anisotropy_row, series_view
from custom.evaluation.panel_rows import REFERENCE, image_row, residual_row

SERIES = make_series((9, 8, 7), sigma=0.1)
TABLE = study_table()
METHODS = {"input": "image", "model": "pred"}


def item(**more: Any) -> dict[str, Any]:
    return restored_item(SERIES, scan="head", **more)


def test_the_middle_slice_of_the_middle_weighted_volume_is_shown() -> None:
    view = series_view(item(), METHODS)
    assert view.told == {"volume": 16, "b_value": 1000.0}
    assert (view.index, view.pixel_mm) == (3, (2.0, 2.0))
    unit = np.median(SERIES.s0[SERIES.inside])
    images = image_row(view).images
    np.testing.assert_allclose(images[REFERENCE], SERIES.clean[..., 3, 16] / unit, rtol=1e-5)
    np.testing.assert_allclose(images["input"], SERIES.noisy[..., 3, 16] / unit, rtol=1e-5)
    assert series_view(item(), METHODS, 5).index == 5


def test_residuals_are_of_the_mask_alone() -> None:
    row = residual_row(series_view(item(), METHODS), percentile=100)
    unit, inside = np.median(SERIES.s0[SERIES.inside]), SERIES.inside[..., 3]
    expected = (SERIES.noisy - SERIES.clean)[..., 3, 16] / unit
    np.testing.assert_allclose(row.images["input"][inside], expected[inside], atol=1e-5)
    assert np.isnan(row.images["input"][~inside]).all()
    assert row.style["vmax"] == -row.style["vmin"]
    assert row.style["vmax"] == pytest.approx(np.abs(expected[inside]).max(), rel=1e-5)


def test_anisotropy_against_dipy() -> None:
    maps = anisotropy_row(series_view(item(), METHODS)).images
    gtab = gradient_table(TABLE.bvals, bvecs=TABLE.bvecs, b0_threshold=0, atol=0.05)
    inside = SERIES.inside[..., 3]
    expected = TensorModel(gtab).fit(SERIES.clean[..., 3, :][inside]).fa
    for name in (REFERENCE, "model"):
        np.testing.assert_allclose(maps[name][inside], expected, atol=1e-3)
        assert np.isnan(maps[name][~inside]).all()
    assert np.abs(maps["input"][inside] - expected).mean() > 0.02


def test_the_truth_may_be_a_tensor_of_the_item() -> None:
    line = torch.zeros(6, 9, 8, 7)
    line[0] = 1.0
    maps = anisotropy_row(series_view(item(tensor=line), METHODS)).images
    np.testing.assert_allclose(maps[REFERENCE][SERIES.inside[..., 3]], 1.0)
    assert maps["model"][SERIES.inside[..., 3]].max() < 0.9
