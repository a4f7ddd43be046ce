"""Compare the fields of view and the grids of two scans."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from custom.data.preparation.scans.scan_description import ScanDescription

__all__ = ["GridFit", "fit_grids"]

# Far above the rounding of headers; two thirds of a voxel at the edge of 150 voxels.
_ANGLE_DEG = 0.5
_RELATIVE = 0.01  # of the field of view and the slice distance; rounding is far smaller


@dataclass(frozen=True)
class GridFit:
    """Position of the default scan's grid relative to the fast scan's box.

    Args:
        fault: Reason why they cannot be paired, or None.
        shift_voxels: Start of the fast scan's box on the default scan's grid, in voxels of that
            grid along its two image axes. Zero if both boxes are the same.
    """

    fault: str | None
    shift_voxels: tuple[float, float] = (0.0, 0.0)


def fit_grids(
    fast: ScanDescription,
    default: ScanDescription,
    in_plane_tolerance: float = 0.5,
    slice_tolerance: float = 0.1,
) -> GridFit:
    """Compare the grids of two scans.

    ParaVision puts voxel N/2 of every matrix in the middle of the field of view, so a matrix of
    twice the size lies a quarter of a coarse voxel further along both axes. That is within the
    default tolerance, and is returned as a shift of -0.5 fine voxels.

    Args:
        fast: The coarse scan.
        default: The fine scan.
        in_plane_tolerance: Largest shift of the boxes in the plane, in voxels of the fast scan.
        slice_tolerance: Largest shift across the plane, in slice distances.
    """
    fault = _size_fault(fast, default) or _direction_fault(fast, default)
    if fault is not None:
        return GridFit(fault)
    to_fine = np.linalg.inv(default.affine) @ fast.affine
    # The middles are compared, so that small differences of spacing do not accumulate on one side.
    middle = np.append((np.asarray(fast.size) - 1) / 2, 1)
    offset = (to_fine @ middle)[:3] - (np.asarray(default.size) - 1) / 2
    across = abs(offset[2]) * fast.spacing_mm[2]
    if abs(offset[2]) > slice_tolerance:
        return GridFit(f"its slices lie {across:.2g} mm off those of {fast.source}")
    if np.abs(offset[:2]).max() > 2 * in_plane_tolerance:
        moved = np.hypot(*(offset[:2] * default.spacing_mm[:2]))
        return GridFit(f"its field of view lies {moved:.2g} mm off that of {fast.source}")
    return GridFit(None, (float(offset[0]), float(offset[1])))


def _size_fault(fast: ScanDescription, default: ScanDescription) -> str | None:
    """Compare the numbers of voxels."""
    if default.size[2] != fast.size[2]:
        return f"it has {default.size[2]} slices, {fast.source} has {fast.size[2]}"
    if any(default.size[axis] != 2 * fast.size[axis] for axis in (0, 1)):
        fine, coarse = _product(default.size[:2]), _product(fast.size[:2])
        return f"its matrix {fine} is not twice {coarse} of {fast.source}"
    return None


def _direction_fault(fast: ScanDescription, default: ScanDescription) -> str | None:
    """Compare directions and lengths of the axes."""
    directions = [scan.affine[:3, :3] / scan.spacing_mm for scan in (fast, default)]
    cosines = np.clip((directions[0] * directions[1]).sum(axis=0), -1, 1)
    angle = float(np.degrees(np.arccos(cosines.min())))
    if angle > _ANGLE_DEG:
        return f"its orientation differs by {angle:.1f} degrees from {fast.source}"
    fov = [scan.spacing_mm[:2] * scan.size[:2] for scan in (fast, default)]
    if np.abs(fov[1] / fov[0] - 1).max() > _RELATIVE:
        return (
            f"its field of view is {_millimetres(fov[1])}, {_millimetres(fov[0])} in {fast.source}"
        )
    distance = default.spacing_mm[2] / fast.spacing_mm[2]
    if abs(distance - 1) > _RELATIVE:
        return f"its slice distance is {distance:.3g} times that of {fast.source}"
    return None


def _product(lengths: tuple[int, ...]) -> str:
    """Write lengths as a product."""
    return " x ".join(map(str, lengths))


def _millimetres(lengths: NDArray[np.float64]) -> str:
    """Write lengths in millimetres."""
    return " x ".join(f"{length:.4g}" for length in lengths) + " mm"
