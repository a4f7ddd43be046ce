from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from diffusion_series import AFFINE, make_series, study_table
from dipy.core.gradients import gradient_table
from dipy.denoise.localpca import mppca
from dipy.reconst.dti import TensorModel
from monai.data import MetaTensor

from custom.transforms.dwi_baselines import DwiBaselined, patch_radii

TABLE = study_table()
SERIES = make_series((12, 11, 10), sigma=0.05)
METHODS = ("wls", "nlls", "patch2self", "mppca", "localpca")


def data(volumes: np.ndarray, mask: np.ndarray) -> dict[str, Any]:
    image = torch.from_numpy(np.moveaxis(volumes, -1, 0).astype(np.float32))
    return {
        "dwi": MetaTensor(image, affine=torch.from_numpy(AFFINE)),
        "image_mask": torch.from_numpy(mask)[None],
        "b_rows": TABLE.b_rows,
        "unweighted": torch.from_numpy(TABLE.unweighted),
    }


def restore(
    method: str, volumes: np.ndarray = SERIES.noisy, mask: np.ndarray = SERIES.inside
) -> np.ndarray:
    return np.moveaxis(np.asarray(DwiBaselined("dwi", method)(data(volumes, mask))["dwi"]), 0, -1)


def error(volumes: np.ndarray) -> float:
    inside = SERIES.inside
    return float((((volumes - SERIES.clean)[inside] / SERIES.s0[inside, None]) ** 2).mean())


@pytest.mark.parametrize("method", METHODS)
def test_the_error_falls_and_the_frame_stays(method: str) -> None:
    given = data(SERIES.noisy, SERIES.inside)
    found = DwiBaselined("dwi", method)(given)
    assert isinstance(found["dwi"], MetaTensor)
    torch.testing.assert_close(found["dwi"].affine, torch.from_numpy(AFFINE))
    restored = np.moveaxis(np.asarray(found["dwi"]), 0, -1)
    assert restored.shape == SERIES.noisy.shape
    assert error(restored) < 0.5 * error(SERIES.noisy)
    np.testing.assert_array_equal(restored[~SERIES.inside], SERIES.noisy[~SERIES.inside])
    assert 0 < found["dwi_seconds"] < 60
    assert torch.equal(given["dwi"], data(SERIES.noisy, SERIES.inside)["dwi"]), "input is kept"


@pytest.mark.parametrize(("method", "fit"), [("wls", "WLS"), ("nlls", "NLLS")])
def test_tensor_fits_against_dipy(method: str, fit: str) -> None:
    # Noise so weak that neither floor nor a negative eigenvalue, which DIPY cuts, plays a part.
    mask = np.zeros(SERIES.inside.shape, bool)
    mask[5:7, 4:7, 4:6] = True
    volumes = make_series((12, 11, 10), sigma=0.01).noisy
    gtab = gradient_table(TABLE.bvals, bvecs=TABLE.bvecs, b0_threshold=0, atol=0.05)
    model = TensorModel(gtab, fit_method=fit, return_S0_hat=True, min_signal=1e-6)
    fitted = model.fit(volumes[mask])
    expected = fitted.predict(gtab, S0=fitted.S0_hat)
    np.testing.assert_allclose(restore(method, volumes, mask)[mask], expected, rtol=2e-3)


@pytest.mark.parametrize("method", ["wls", "nlls"])
def test_tensor_fits_leave_what_is_a_tensors_signal(method: str) -> None:
    restored = restore(method, SERIES.clean.astype(np.float32))
    inside = SERIES.inside
    np.testing.assert_allclose(restored[inside], SERIES.clean[inside], rtol=2e-4)


def test_patch2self_is_a_regression_with_an_intercept() -> None:
    volumes = SERIES.noisy.reshape(-1, 32).astype(np.float64)
    expected = np.empty_like(volumes)
    for group in (TABLE.unweighted, ~TABLE.unweighted):
        for index in np.flatnonzero(group):
            others = group.copy()
            others[index] = False
            design = np.column_stack([volumes[:, others], np.ones(len(volumes))])
            weights = np.linalg.lstsq(design, volumes[:, index], rcond=None)[0]
            expected[:, index] = design @ weights
    expected = np.clip(expected, 0, None).reshape(SERIES.noisy.shape)
    # DIPY's ridge is not quite 0, and single precision.
    restored = restore("patch2self")[SERIES.inside]
    np.testing.assert_allclose(restored, expected[SERIES.inside], atol=0.05)


def test_mppca_is_dipys() -> None:
    everywhere = np.ones(SERIES.inside.shape, bool)
    expected = mppca(SERIES.noisy, patch_radius=2)
    np.testing.assert_allclose(restore("mppca", mask=everywhere), expected, rtol=1e-5)


@pytest.mark.parametrize("method", ["mppca", "localpca"])
def test_what_no_patch_reaches_stays(method: str) -> None:
    corner = np.zeros(SERIES.inside.shape, bool)
    corner[0, 0, 0] = corner[6, 5, 5] = True
    restored = restore(method, mask=corner)
    np.testing.assert_array_equal(restored[0, 0, 0], SERIES.noisy[0, 0, 0])
    assert np.abs(restored[6, 5, 5] - SERIES.noisy[6, 5, 5]).max() > 1


@pytest.mark.parametrize("method", ["mppca", "localpca"])
def test_thin_volumes_have_thin_patches(method: str) -> None:
    thin = slice(4, 7)
    volumes, mask = SERIES.noisy[:, :, thin], SERIES.inside[:, :, thin]
    restored = restore(method, volumes, mask)
    off = [(some - SERIES.clean[:, :, thin])[mask] ** 2 for some in (restored, volumes)]
    assert off[0].mean() < 0.6 * off[1].mean()


@pytest.mark.parametrize(
    ("shape", "measurements", "radii"),
    [
        ((20, 20, 20), 32, [2, 2, 2]),
        ((20, 20, 20), 124, [2, 2, 2]),
        ((20, 20, 20), 125, [3, 3, 3]),
        ((20, 5, 1), 125, [3, 2, 0]),
    ],
)
def test_a_patch_has_more_voxels_than_there_are_volumes(
    shape: tuple[int, int, int], measurements: int, radii: list[int]
) -> None:
    assert patch_radii(shape, measurements).tolist() == radii


def test_what_cannot_be_done_is_refused() -> None:
    with pytest.raises(ValueError, match="too small for patches"):
        patch_radii((2, 1, 1), 32)
    with pytest.raises(ValueError, match="method must be one of"):
        DwiBaselined("dwi", "ols")
