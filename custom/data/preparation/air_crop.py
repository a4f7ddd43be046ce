"""Crop the air around a head, and rescale a volume for whole numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from custom.errors import InputError
from custom.physics.intensity_statistics import reference_intensity

__all__ = ["crop_air", "fit_int16"]

_GREATEST = 32000  # int16


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


def fit_int16(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rescale values that whole numbers up to 32000 would round too coarsely."""
    peak = float(values.max())
    # Rounding errors must stay far below the noise: 8-bit data is spread over the range, too.
    return values * np.float32(_GREATEST / peak) if peak > _GREATEST or peak < 2000 else values
