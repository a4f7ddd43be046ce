"""Files that the restoration of volumes refuses, each in one line that says why."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from custom.data.inputs.image_checks import VolumeChecks
from custom.errors import InputError


def write(path: Path, shape: tuple[int, ...], spoil: float | None = None) -> Path:
    values = np.random.default_rng(0).random(shape).astype(np.float32) + 1
    if spoil is not None:
        values.flat[::7] = spoil
    nib.save(nib.Nifti1Image(values, np.eye(4)), path)
    return path


@pytest.mark.parametrize(
    ("shape", "spoil", "reason"),
    [
        ((12, 12), None, "2D"),
        ((12, 12, 12, 2), None, "4D.*split"),
        ((12, 12, 1), None, "too small: 12 x 12 x 1"),
        ((12, 7, 12), None, "at least 8"),
        ((12, 12, 12), np.nan, "247 of 1728 voxels are NaN"),
        ((12, 12, 12), -1e9, "negative"),
    ],
)
def test_refused(tmp_path: Path, shape: tuple[int, ...], spoil: float | None, reason: str) -> None:
    path = write(tmp_path / "a.nii.gz", shape, spoil)
    with pytest.raises(InputError, match=reason) as raised:
        VolumeChecks(8)(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_taken(tmp_path: Path) -> None:
    VolumeChecks(8)(write(tmp_path / "a.nii.gz", (8, 9, 10)))
    VolumeChecks(8)(write(tmp_path / "b.nii.gz", (8, 9, 10, 1)))


def test_halving_needs_twice_the_size(tmp_path: Path) -> None:
    checks = VolumeChecks(8, mode="halve")
    checks(write(tmp_path / "a.nii.gz", (16, 17, 18)))
    with pytest.raises(InputError, match="at least 16"):
        checks(write(tmp_path / "b.nii.gz", (15, 17, 18)))


@pytest.mark.parametrize(("mode", "seen"), [("super_resolve", [17, 18, 19]), ("halve", [9, 9, 10])])
def test_the_memory_is_asked_for_what_the_network_sees(
    tmp_path: Path, mode: str, seen: list[int]
) -> None:
    asked = []

    def full(shape: list[int]) -> None:
        asked.append(list(shape))
        raise InputError("too large: it does not fit")

    # Broken values are not reached: the header is enough.
    path = write(tmp_path / "a.nii.gz", (17, 18, 19), np.nan)
    with pytest.raises(InputError, match=r"a\.nii\.gz: too large"):
        VolumeChecks(8, mode=mode, check_memory=full)(path)  # type: ignore[arg-type]
    assert asked == [seen]


def test_settings(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mode"):
        VolumeChecks(mode="both")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="min_size"):
        VolumeChecks(0)
    with pytest.raises(ValueError, match="no such file"):
        VolumeChecks()(tmp_path / "none.nii.gz")
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(ValueError, match="NIfTI"):
        VolumeChecks()(tmp_path / "a.png")
