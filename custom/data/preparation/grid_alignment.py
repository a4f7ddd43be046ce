"""Shift a stack by a fraction of a voxel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import fourier_shift, shift

__all__ = ["sample_shifted", "sample_shifted_regions"]


def sample_shifted(stack: NDArray[Any], shift_voxels: tuple[float, float]) -> NDArray[np.float32]:
    r"""Sample each slice at positions shifted in its plane, by Fourier interpolation.

    .. math:: y(i, j) = x(i + s_0, j + s_1)

    Exact for a slice that the scanner sampled without aliasing. Values below zero, from ringing at
    sharp edges, are set to zero, since magnitudes are not negative.

    Args:
        stack: Magnitudes, ``(X, Y, S)``.
        shift_voxels: ``s``, in voxels.

    Returns:
        The shifted stack; the same values if the shift is zero.
    """
    if not any(shift_voxels):
        return stack.astype(np.float32)
    moved = np.empty(stack.shape, np.float32)
    for index in range(stack.shape[-1]):
        spectrum = fourier_shift(np.fft.fft2(stack[..., index]), [-s for s in shift_voxels])
        moved[..., index] = np.fft.ifft2(spectrum).real
    # A stack that has negative values keeps its range: it is not a plain magnitude.
    return np.maximum(moved, min(0.0, float(stack.min())))


def sample_shifted_regions(
    regions: NDArray[np.uint8], shift_voxels: tuple[int, int]
) -> NDArray[np.uint8]:
    r"""Sample region numbers at positions shifted by whole voxels, without interpolation.

    .. math:: y(i, j) = x(i + s_0, j + s_1)

    Args:
        regions: Numbers of regions, ``(X, Y, S)``.
        shift_voxels: ``s``, in voxels.

    Returns:
        The shifted regions; 0, no region, where the position lies outside.
    """
    offset = (-shift_voxels[0], -shift_voxels[1], 0)
    return np.asarray(shift(regions, offset, order=0, mode="constant", cval=0), dtype=np.uint8)
