from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diffusion_series import AFFINE, save_image

from custom.errors import InputError
from custom.transforms.voxel_map import read_mask, read_voxel_map

SHAPE = (5, 4, 3)
VALUES = np.arange(60, dtype=np.float32).reshape(SHAPE)


def read(given: Any, zero_allowed: bool = True) -> Any:
    return read_voxel_map("sigma", given, SHAPE, AFFINE, zero_allowed=zero_allowed)


def test_numbers_and_images_are_read(tmp_path: Path) -> None:
    assert read(0.25) == 0.25
    np.testing.assert_array_equal(read(save_image(tmp_path / "a.nii.gz", VALUES)), VALUES)
    stacked = save_image(tmp_path / "b.nii.gz", VALUES[..., None])
    np.testing.assert_array_equal(read(str(stacked), zero_allowed=False), VALUES)


@pytest.mark.parametrize("number", [-0.1, np.nan, np.inf, True])
def test_numbers_out_of_range_are_refused(number: float) -> None:
    with pytest.raises(ValueError, match="sigma must be"):
        read(number)


def test_zero_may_be_a_noise_level_but_no_signal() -> None:
    assert read(0) == 0.0
    with pytest.raises(ValueError, match="sigma must be positive"):
        read(0, zero_allowed=False)


def shifted(voxels: float) -> np.ndarray:
    affine = AFFINE.copy()
    affine[0, 3] += 2.0 * voxels
    return affine


@pytest.mark.parametrize(
    ("array", "affine", "says"),
    [
        (VALUES[:4], AFFINE, "is 4 x 4 x 3 voxels, the scan 5 x 4 x 3"),
        (VALUES, shifted(0.2), r"lies up to 0\.4 mm off the scan"),
        (VALUES - 1, AFFINE, "has negative values, down to -1"),
        (np.where(VALUES == 7, np.nan, VALUES), AFFINE, "NaN"),
        (VALUES * 0, AFFINE, "nowhere above 0"),
        (VALUES.astype(np.complex64), AFFINE, "complex"),
    ],
)
def test_images_that_do_not_fit_are_refused(
    tmp_path: Path, array: np.ndarray, affine: np.ndarray, says: str
) -> None:
    path = save_image(tmp_path / "a.nii.gz", array, affine)
    with pytest.raises(InputError, match=rf"sigma .*a\.nii\.gz.*{says}"):
        read(path)


def test_a_rounded_affine_passes(tmp_path: Path) -> None:
    read(save_image(tmp_path / "a.nii.gz", VALUES, shifted(0.01)))


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"sigma .*none\.nii\.gz: no such NIfTI"):
        read(tmp_path / "none.nii.gz")
    (tmp_path / "b.nii.gz").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"b\.nii\.gz: cannot be read"):
        read(tmp_path / "b.nii.gz")


def test_masks_mark_what_is_not_zero(tmp_path: Path) -> None:
    path = save_image(tmp_path / "m.nii.gz", (VALUES % 3).astype(np.uint8))
    np.testing.assert_array_equal(read_mask("mask", path, SHAPE, AFFINE), VALUES % 3 > 0)
    empty = save_image(tmp_path / "e.nii.gz", (VALUES * 0).astype(np.uint8))
    with pytest.raises(InputError, match=r"mask .*e\.nii\.gz: marks no voxel"):
        read_mask("mask", empty, SHAPE, AFFINE)
