"""Crop the air around a body or a head; rescale a volume for whole numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_triangle

from custom.errors import InputError
from custom.physics.intensity_statistics import (
    clip_outliers,
    outlier_limit,
    reference_intensity,
)

__all__ = ["CropBox", "crop", "crop_air", "fit_int16", "foreground_box"]

# Specks below this share of the largest part are noise.
_SMALL_PART = 0.05
_GREATEST = 32000  # int16
_LARGEST = np.iinfo(np.int16).max


@dataclass(frozen=True)
class CropBox:
    """A range of voxels in the plane, all slices.

    Args:
        start: First voxel along both image axes.
        stop: First voxel that is left out.
    """

    start: tuple[int, int]
    stop: tuple[int, int]

    def finer(self, scale: int) -> CropBox:
        """Return the same box on a grid with ``scale`` times as many voxels."""
        return CropBox(
            (self.start[0] * scale, self.start[1] * scale),
            (self.stop[0] * scale, self.stop[1] * scale),
        )


def foreground_box(
    stack: NDArray[Any], spacing_mm: Sequence[float], margin_mm: float = 2.0, min_size: int = 32
) -> CropBox:
    """Return the smallest box that holds the body in every slice, and a margin.

    The body is where the square root of the mean over all slices exceeds its triangle threshold.
    The mean suppresses noise; the root, and a threshold at the foot of the background's peak in the
    histogram, include dark tissue beside bright fat.

    Args:
        stack: Magnitudes, ``(X, Y, S)``.
        spacing_mm: Voxel size along both image axes.
        margin_mm: Air to keep on each side; quality control measures noise in it.
        min_size: Fewest voxels along an axis, or all where there are fewer.
    """
    # One hot voxel would stretch the histogram, and the box would hold nothing else.
    magnitude = clip_outliers(np.abs(stack))
    # One pixel of smoothing, so that single noisy pixels do not widen the box.
    projection = np.sqrt(ndimage.gaussian_filter(magnitude.mean(axis=-1).astype(float), 1.0))
    if projection.min() == projection.max():
        return CropBox((0, 0), (stack.shape[0], stack.shape[1]))
    threshold = float(threshold_triangle(projection))  # type: ignore[no-untyped-call]
    parts, count = ndimage.label(projection > threshold)
    areas = ndimage.sum_labels(np.ones_like(parts), parts, range(1, count + 1))
    body = np.isin(parts, 1 + np.flatnonzero(areas >= _SMALL_PART * areas.max()))
    start, stop = [], []
    for axis in (0, 1):
        inside = np.flatnonzero(body.any(axis=1 - axis))
        margin = int(np.ceil(margin_mm / spacing_mm[axis]))
        first, last = _widen(
            int(inside[0]) - margin, int(inside[-1]) + 1 + margin, min_size, stack.shape[axis]
        )
        start.append(first)
        stop.append(last)
    return CropBox((start[0], start[1]), (stop[0], stop[1]))


def crop(
    stack: NDArray[Any], affine: NDArray[np.float64], box: CropBox
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Crop a stack to a box and move the origin of its affine, so that voxels keep their place.

    Args:
        stack: ``(X, Y, S)``.
        affine: ``(4, 4)``, voxel index to millimetres.
        box: The voxels to keep.
    """
    (left, low), (right, high) = box.start, box.stop
    moved = affine.copy()
    moved[:3, 3] += affine[:3, :2] @ np.asarray(box.start, dtype=float)
    return stack[left:right, low:high], moved


def _widen(first: int, last: int, min_size: int, length: int) -> tuple[int, int]:
    """Widen a range evenly to a minimum size, inside an axis of a given length."""
    missing = max(0, min(min_size, length) - (last - first))
    first, last = first - missing // 2, last + missing - missing // 2
    if first < 0:
        first, last = 0, max(last, min(min_size, length))
    if last > length:
        first, last = min(first, length - min(min_size, length)), length
    return max(first, 0), last


def crop_air(
    values: NDArray[Any],
    affine: NDArray[np.float64],
    largest: int | None = None,
    margin_mm: float = 8.0,
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Crop a volume to its largest bright body and a margin, to even sizes.

    Args:
        values: ``(X, Y, Z)``.
        affine: ``(4, 4)``, voxel index to millimetres.
        largest: Most voxels along each axis, around the body's middle.
        margin_mm: Air that stays on each side.

    Returns:
        The part, with values below 0 (left by earlier resampling) set to 0, and its affine.

    Raises:
        InputError: If it has no bright body.
    """
    tissue = float(reference_intensity(torch.as_tensor(values), "foreground_mean"))
    # A third of the mean tissue includes dark tissue and excludes air and ghosts.
    bodies, count = ndimage.label(values > 0.3 * tissue)
    if count == 0:
        raise InputError("the volume holds nothing bright: is it an image?")
    sizes = np.bincount(bodies.ravel())
    # Label 0 is all that is dark, often the largest part.
    sizes[0] = 0
    body = ndimage.find_objects(bodies)[int(sizes.argmax()) - 1]
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    box = []
    for part, size, step in zip(body, values.shape, spacing, strict=True):
        margin = round(margin_mm / step)
        start, stop = max(part.start - margin, 0), min(part.stop + margin, size)
        if largest is not None and stop - start > largest:
            start += (stop - start - largest) // 2
            stop = start + largest
        # An even length: a volume of half the size then exists without a lost plane.
        box.append(slice(start, stop - (stop - start) % 2))
    moved = affine.copy()
    moved[:3, 3] += affine[:3, :3] @ [part.start for part in box]
    return np.clip(values[tuple(box)], 0, None).astype(np.float32), moved


def fit_int16(values: NDArray[np.float32]) -> tuple[NDArray[np.float32], float, int]:
    """Rescale values that whole numbers up to 32767 would round too coarsely.

    Outliers, see :func:`custom.physics.intensity_statistics.outlier_limit`, do not decide: a hot
    voxel would leave the tissue a few whole numbers. Those that do not fit become 32767.

    Returns:
        The values, the factor by which they were multiplied, and how many did not fit.
    """
    limit = outlier_limit(values)
    peak, tissue = min(float(values.max()), limit), float(values[values <= limit].max())
    # Rounding errors must stay far below the noise: 8-bit data is spread over the range, too.
    factor = _GREATEST / peak if peak > _GREATEST or tissue < 2000 else 1.0
    fitted = values * np.float32(factor)
    return fitted.clip(-_LARGEST, _LARGEST), factor, int((np.abs(fitted) > _LARGEST).sum())
