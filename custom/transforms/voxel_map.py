"""Settings per voxel of a scan: one number, or an image on the same grid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from custom.errors import InputError
from custom.files.image_faults import image_fault, load_image, readable
from custom.files.reader import format_of, read_header
from custom.setting_checks import check_above_zero, check_not_negative

__all__ = ["read_mask", "read_voxel_map"]

_OFF = 0.1  # voxels: largest distance between the corners of two equal grids


def read_voxel_map(
    name: str,
    given: str | Path | float,
    shape: Sequence[int],
    affine: NDArray[np.float64],
    *,
    zero_allowed: bool,
) -> float | NDArray[np.float32]:
    """Return a number unchanged, or the values of an image.

    Args:
        name: The setting, for messages.
        given: A number, or a NIfTI file.
        shape: Shape of the scan's grid, three numbers.
        affine: Affine of the scan, ``(4, 4)``.
        zero_allowed: Whether the number may be 0. An image may have zeros in any case, for voxels
            where nothing is known.

    Raises:
        ValueError: If the number is out of its range.
        InputError: If the file is missing, no image, of another grid, or has values that are
            negative or not finite.
    """
    if not isinstance(given, (str, Path)):
        (check_not_negative if zero_allowed else check_above_zero)(name, given)
        return float(given)
    values = _read(name, Path(given).expanduser(), shape, affine)
    if not (values > 0).any():
        raise InputError(f"{name} {given}: is nowhere above 0")
    return values


def read_mask(
    name: str, file: str | Path, shape: Sequence[int], affine: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Return the mask of the voxels where an image on the scan's grid is not 0.

    Raises:
        InputError: As :func:`read_voxel_map`, or if it is 0 everywhere.
    """
    values = _read(name, Path(str(file)).expanduser(), shape, affine)
    if not values.any():
        raise InputError(f"{name} {file}: marks no voxel")
    return np.asarray(values != 0)


def _read(
    name: str, path: Path, shape: Sequence[int], affine: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Read an image that must lie on the scan's grid."""
    if not path.is_file() or format_of(path) != "nifti":
        raise InputError(f"{name} {path}: no such NIfTI file")
    header = readable(path, read_header)  # first, so that a huge image is not loaded
    fault = image_fault(header) or _grid_fault(header.shape, header.affine, shape, affine)
    if fault is None:
        array, _ = readable(path, load_image)
        fault = _value_fault(array)
    if fault is not None:
        raise InputError(f"{name} {path}: {fault}")
    return array


def _value_fault(array: NDArray[np.float32]) -> str | None:
    """Return the fault of values that are no setting, or None."""
    if not np.isfinite(array).all():
        return "has values that are NaN or infinite"
    if (array < 0).any():
        return f"has negative values, down to {array.min():g}"
    return None


def _grid_fault(
    shape: Sequence[int], affine: NDArray[Any], scan: Sequence[int], frame: NDArray[Any]
) -> str | None:
    """Return the fault of an image that lies on another grid than the scan, or None."""
    if tuple(shape) != tuple(scan):
        found, wanted = (" x ".join(map(str, size)) for size in (shape, scan))
        return f"is {found} voxels, the scan {wanted}: resample it to the scan's grid"
    # The distance of two affine grids is greatest at a corner.
    corners = np.array(np.meshgrid(*((0, length - 1) for length in scan))).reshape(3, -1)
    apart = np.linalg.norm(((affine - frame) @ np.vstack([corners, np.ones(8)]))[:3], axis=0)
    # The shortest side: thick slices must not allow a larger shift in their plane.
    spacing = float(np.linalg.norm(frame[:3, :3], axis=0).min())
    if apart.max() > _OFF * spacing:
        return f"lies up to {apart.max():.3g} mm off the scan: resample it to the scan's grid"
    return None
