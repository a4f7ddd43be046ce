"""The grid of a result, with its axes in the order of the source series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from custom.deploy.dicom.frames import Frame
from custom.deploy.dicom.volume import LPS_TO_RAS, SeriesVolume
from custom.errors import InputError

__all__ = ["OutputGrid", "grid_of"]

_TURNED = 2e-3  # difference of unit vectors: a tenth of a degree
_SAME_MM = 1e-3  # rounding of positions in headers
_BETWEEN = 0.02  # of a slice


@dataclass(frozen=True)
class OutputGrid:
    """A result and its grid, in patient axes (LPS).

    Attributes:
        array: ``(X, Y, Z, N)``; columns, rows, slices along the source's normal, volumes.
        affine: ``(4, 4)`` in mm.
        same: Whether it is the grid of the source.
        ratio: Step between slices over that of the source.
        depths: ``(Z,)``, position of each slice among those of the source, in slices.
    """

    array: NDArray[Any] = field(repr=False)
    affine: NDArray[np.float64]
    same: bool
    ratio: float
    depths: NDArray[np.float64]

    @cached_property
    def spacing(self) -> NDArray[np.float64]:
        """Size of a voxel, ``(3,)`` in mm."""
        return np.asarray(np.linalg.norm(self.affine[:3, :3], axis=0))

    @cached_property
    def cosines(self) -> NDArray[np.float64]:
        """Image Orientation (0020,0037): unit vectors of columns, then of rows."""
        return np.asarray((self.affine[:3, :2] / self.spacing[:2]).T.reshape(6))

    @cached_property
    def normal(self) -> NDArray[np.float64]:
        """Unit vector at right angles to the slices."""
        return np.asarray(np.cross(self.cosines[:3], self.cosines[3:]))

    def position(self, index: int) -> NDArray[np.float64]:
        """Return Image Position (0020,0032) of a slice, in mm."""
        return np.asarray(self.affine[:3] @ [0, 0, index, 1])

    def nearest(self, index: int, sources: Sequence[Frame]) -> list[Frame]:
        """Return the images that a slice is made from: the nearest, and its other neighbour.

        ``sources`` are those of one volume, lowest first.
        """
        depth = float(self.depths[index])
        # A finer grid of the same field of view begins before the middle of the first slice.
        closest = min(max(round(depth), 0), len(sources) - 1)
        found = [sources[closest]]
        other = closest + (1 if depth > closest else -1)
        if abs(depth - closest) > _BETWEEN and 0 <= other < len(sources):
            found.append(sources[other])
        return found


def grid_of(array: NDArray[Any], affine: NDArray[np.float64], source: SeriesVolume) -> OutputGrid:
    """Bring a result to the axes of its source by swaps and flips; nothing is resampled.

    Shape:
        ``array``: ``(X, Y, Z[, N])``; ``affine``: ``(4, 4)``, voxels to RAS in mm.

    Raises:
        InputError: If the result is of another number of volumes, not finite, or turned against
            its source.
    """
    volumes = source.array.shape[3] if source.array.ndim == 4 else 1
    if array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[3] != volumes):
        raise InputError(
            f"the result has the shape {array.shape}, and the series {source.array.shape}: the "
            "bundle must give one image, or one for each volume of the series"
        )
    if not np.isfinite(array).all():
        raise InputError("the result holds NaN or infinite values: nothing is written")
    turn = nib.orientations.ornt_transform(
        nib.io_orientation(affine), nib.io_orientation(source.affine)
    )
    moved = np.asarray(affine, float) @ nib.orientations.inv_ornt_aff(turn, array.shape[:3])
    array = nib.orientations.apply_orientation(array, turn)
    spacing, reference = (np.linalg.norm(one[:3, :3], axis=0) for one in (moved, source.affine))
    if (np.abs(moved[:3, :3] / spacing - source.affine[:3, :3] / reference) > _TURNED).any():
        raise InputError(
            "the result's axes are turned against those of the series: the bundle must restore in "
            "the frame of its input"
        )
    to_source = np.linalg.solve(source.affine, moved)
    array = array if array.ndim == 4 else array[..., None]
    same = array.shape[:3] == source.array.shape[:3] and _same_place(moved, source)
    return OutputGrid(
        array=array,
        # That of the source to the digit: the result's went through the float32 of a NIfTI header.
        affine=LPS_TO_RAS @ (source.affine if same else moved),
        same=same,
        ratio=float(spacing[2] / reference[2]),
        depths=to_source[2, 2] * np.arange(array.shape[2]) + to_source[2, 3],
    )


def _same_place(affine: NDArray[np.float64], source: SeriesVolume) -> bool:
    """Return True if all corners of two grids of the same shape coincide."""
    last = np.array(source.array.shape[:3]) - 1
    corners = np.array(np.meshgrid(*[(0, end) for end in last])).reshape(3, -1)
    ones = np.ones((1, corners.shape[1]))
    apart = (affine - source.affine)[:3] @ np.concatenate([corners, ones])
    return bool((np.abs(apart) < _SAME_MM).all())
