r"""How a scanner or a program makes a coarse volume of a fine one: a family of linear operators.

All are separable, one small matrix an axis (:func:`axis_matrix`), and both grids fill the same
box: voxel 0 of the coarse one has its centre at fine voxel ``(scale - 1) / 2``. Volumes are
mirrored at their faces, so a patch does not wrap around; on the cosines of such volumes each
operator is a multiplication (:func:`transfer`), ``omega`` in radians a fine voxel, up to
``pi / scale``:

- ``kspace``: the centre of k-space, plain; a Fourier shift holds the half voxel. 1 in the band.
- ``hamming``: the same, apodised: :math:`0.54 + 0.46 \cos \omega s`.
- ``fermi``: :math:`1 / (1 + \exp((|\omega| s / \pi - 1) / 0.08))`, over its value at 0.
- ``partial``: a share ``a`` of Hamming's window: :math:`1 - a + a (0.54 + 0.46 \cos \omega s)`.
- ``box``: the mean of ``s`` voxels: :math:`\sin(\omega s / 2) / (s \sin(\omega / 2))`.
- ``triangle``: antialiased linear interpolation, ``linear`` of :mod:`custom.physics.downsampling`.
- ``slice``: a Gaussian slice profile, its full width at half maximum the spacing, along the axis of
  the largest factor (the last of equal ones), :math:`\exp(-\omega^2 \sigma^2 / 2)`; ``kspace``
  along the others.
- ``spline``: cubic splines through the fine voxels, read at the coarse centres; it aliases. No
  training uses it: it shows what a network does with an operator that it has never met.

Noise comes after the operator, on the acquired grid: :func:`rician`.

Source:
    Windows: Bernstein, King, Zhou, Handbook of MRI Pulse Sequences (2004), section 13.1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft, ndimage
from torch import Generator, Tensor
from torch.nn.functional import interpolate

from custom.setting_checks import check_share, check_whole

__all__ = [
    "OPERATORS",
    "TRAINING_OPERATORS",
    "acquire",
    "axis_matrix",
    "axis_operators",
    "axis_scales",
    "cosines",
    "rician",
    "transfer",
]

Matrix = NDArray[np.float64]

TRAINING_OPERATORS = ("kspace", "hamming", "fermi", "partial", "box", "triangle", "slice")
OPERATORS = (*TRAINING_OPERATORS, "spline")

_FERMI_WIDTH = 0.08  # of the band; a scanner's default is 10 of 128 samples
_DEVIATION_OF_WIDTH = 1 / math.sqrt(8 * math.log(2))  # of a Gaussian's full width at half maximum


def acquire(
    volume: Tensor, operator: str, scale: int | Sequence[int] = 2, share: float = 0.5
) -> Tensor:
    """Return the coarse volume of a fine one, without noise (see the module).

    Args:
        volume: Fine volume, floating point. Planes beyond a multiple of the scale are left out.
        operator: One of ``OPERATORS``.
        scale: How many times coarser the result is: one whole number, or one an axis, as
            ``(1, 1, 4)`` for thick slices. An axis of factor 1 stays as it is.
        share: Share of Hamming's window in ``partial``.

    Shape:
        ``volume``: ``(B, C, D, H, W)``; output: ``(B, C, D // scale, H // scale, W // scale)``.

    Raises:
        ValueError: If an argument is out of its range, or the volume thinner than its factor.
    """
    if volume.ndim != 5:
        raise ValueError(f"volume must be (B, C, D, H, W), got {tuple(volume.shape)}")
    values = volume.as_subclass(Tensor)
    scales = axis_scales(scale)
    names = axis_operators(operator, scales)
    check_share("share", share)
    for axis, name, factor in zip((2, 3, 4), names, scales, strict=True):
        coarse = values.shape[axis] // factor
        if coarse < 1:
            raise ValueError(f"{values.shape[axis]} voxels cannot become {factor} times fewer")
        if factor > 1:
            # Only partial depends on the share: the others' matrices are kept under one.
            used = share if name == "partial" else 0.5
            matrix = _tensor(name, coarse, factor, used).to(values)
            kept = values.narrow(axis, 0, coarse * factor)
            values = torch.matmul(kept.movedim(axis, -1), matrix.T).movedim(-1, axis)
    return values.contiguous()


def rician(volume: Tensor, sigma: float | Tensor, generator: Generator) -> Tensor:
    """Return the magnitude of a volume with Gaussian noise in both channels.

    Args:
        volume: Volume on the acquired grid.
        sigma: Deviation of a channel in the unit of the volume; a tensor may differ between volumes
            or in space. For a share of the tissue's intensity, multiply it by
            ``reference_intensity(volume, "foreground_mean")`` of the *whole* volume, which is 1
            for volumes that were divided by it. 0 gives the magnitude.
        generator: Source of the noise.

    Shape:
        ``volume`` and output: ``(B, C, D, H, W)``; ``sigma`` broadcasts.
    """
    deviation = torch.as_tensor(sigma, dtype=volume.dtype, device=volume.device)
    parts = torch.randn((2, *volume.shape), generator=generator, device=volume.device)
    return torch.hypot(torch.addcmul(volume, parts[0], deviation), parts[1] * deviation)


def axis_scales(scale: int | Sequence[int]) -> tuple[int, int, int]:
    """Return the factor of each axis.

    Raises:
        ValueError: If one is no whole number of at least 1, or there are not three.
    """
    scales = (scale,) * 3 if isinstance(scale, int) else tuple(scale)
    if len(scales) != 3:
        raise ValueError(f"scale must be one number or three, got {scale}")
    for factor in scales:
        check_whole("scale", factor, 1)
    return scales[0], scales[1], scales[2]


def axis_operators(operator: str, scales: Sequence[int]) -> list[str]:
    """Return which operator acts along each axis.

    Raises:
        ValueError: If there is none of this name.
    """
    if operator not in OPERATORS:
        raise ValueError(f"operator must be one of {', '.join(OPERATORS)}, got {operator!r}")
    if operator != "slice":
        return [operator] * len(scales)
    thick = max(range(len(scales)), key=lambda axis: (scales[axis], axis))
    return ["slice" if axis == thick else "kspace" for axis in range(len(scales))]


def transfer(operator: str, size: int, scale: int, share: float = 0.5) -> Matrix:
    """Return the transfer function along one axis at the frequencies of the coarse grid.

    Args:
        operator: One of ``OPERATORS``.
        size: Coarse voxels.
        scale: How many times finer the fine grid is.
        share: Share of Hamming's window in ``partial``.

    Returns:
        ``(size,)``: the factor of the cosine of ``pi k / (size scale)`` radians a fine voxel.
    """
    if operator == "triangle":  # its faces have a rule of their own; inside it is the filter's
        reach = np.arange(-2 * scale, 2 * scale + 1) - (scale - 1) / 2
        taps = np.clip(1 - np.abs(reach) / scale, 0, None)
        waves = np.cos(np.multiply.outer(np.pi * np.arange(size) / (size * scale), reach))
        return np.asarray(waves @ (taps / taps.sum()))
    kept = cosines(size) @ axis_matrix(operator, size, scale, share) @ cosines(size * scale).T
    return np.asarray(np.diagonal(kept)) * math.sqrt(scale)


def axis_matrix(operator: str, size: int, scale: int, share: float = 0.5) -> Matrix:
    """Return an operator along one axis, ``(size, size * scale)``; its transpose is the adjoint.

    Args:
        operator: One of ``OPERATORS``.
        size: Coarse voxels.
        scale: How many times finer the fine grid is.
        share: Share of Hamming's window in ``partial``.

    Raises:
        ValueError: If an argument is out of its range.
    """
    check_share("share", share)
    fine = size * scale
    if operator == "box":
        return np.kron(np.eye(size), np.full((1, scale), 1 / scale))
    if operator == "triangle":
        impulses = torch.eye(fine, dtype=torch.float64)[None, None]
        rows = interpolate(impulses, size=(fine, size), mode="bilinear", antialias=True)
        return np.asarray(rows[0, 0].T.numpy())
    if operator == "spline":
        first = ((scale - 1) / 2, 0.0)
        found = ndimage.affine_transform(
            np.eye(fine), [scale, 1], first, (size, fine), order=3, mode="reflect"
        )
        return np.asarray(found)
    if operator == "slice":
        return _gaussian(size, scale)
    window = _window(operator, np.arange(size) / size, share)
    return np.asarray(cosines(size).T * window @ cosines(fine)[:size] / math.sqrt(scale))


@lru_cache(maxsize=64)
def cosines(size: int) -> Matrix:
    """Return the orthonormal cosine transform of an axis, ``(frequency, voxel)``."""
    return np.asarray(fft.dct(np.eye(size), axis=0, norm="ortho"))


def _window(operator: str, position: Matrix, share: float) -> Matrix:
    """Return the factor of a frequency, given as a share of the band."""
    hamming = 0.54 + 0.46 * np.cos(np.pi * position)
    if operator == "fermi":
        return np.asarray(
            (1 + math.exp(-1 / _FERMI_WIDTH)) / (1 + np.exp((position - 1) / _FERMI_WIDTH))
        )
    shares = {"kspace": 0.0, "hamming": 1.0, "partial": share}
    if operator not in shares:
        raise ValueError(f"operator must be one of {', '.join(OPERATORS)}, got {operator!r}")
    return np.asarray(1 + shares[operator] * (hamming - 1))


def _gaussian(size: int, scale: int) -> Matrix:
    """Return Gaussian slice profiles as wide as the spacing, mirrored at the faces."""
    fine = size * scale
    centre = scale * np.arange(size)[:, None] + (scale - 1) / 2
    voxel = np.arange(fine)
    images = np.stack([voxel, -1 - voxel, 2 * fine - 1 - voxel])[:, None]
    weights = np.exp(-0.5 * ((images - centre) / (_DEVIATION_OF_WIDTH * scale)) ** 2).sum(axis=0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


@lru_cache(maxsize=256)
def _tensor(operator: str, size: int, scale: int, share: float) -> Tensor:
    """Return the matrix of an axis as a tensor, made once: training draws one for each patch."""
    return torch.from_numpy(np.ascontiguousarray(axis_matrix(operator, size, scale, share)))
