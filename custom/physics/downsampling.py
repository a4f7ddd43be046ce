r"""Downsampling operators of volumes and the interpolation back, with exact grids.

The operator determines where the centre of low-resolution voxel 0 lies, in high-resolution voxels:

- ``linear``: a triangle filter of twice the width (antialiased linear interpolation). Both grids
  fill the same box, so the offset is ``(scale - 1) / 2``.
- ``kspace``: only the centre of the discrete Fourier transform is kept, as a scanner does with a
  smaller matrix. Voxel ``k`` is the band-limited signal at voxel ``scale k``: offset 0.
- ``nearest``: voxels 0, ``scale``, ``2 scale`` ...: offset 0; it aliases.
- ``hamming``, ``fermi``, ``partial``, ``box``, ``slice``: see
  :mod:`custom.physics.acquisition`; offset ``(scale - 1) / 2``.
- ``acquired``: training draws one of that module's operators, and noise, for each patch
  (:class:`custom.transforms.volume_resolution.AcquireVolumed`). Where one must stand for all it is
  plain k-space truncation; offset ``(scale - 1) / 2``.

Sizes that are no multiple of the scale lose their last planes first.

Source:
    docs/methods/gan3d_sr_denoise.md, "Task" (linear) and "What the published code does otherwise"
    (nearest).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn.functional import interpolate, pad

from custom.physics.acquisition import TRAINING_OPERATORS, acquire

__all__ = [
    "DEGRADATIONS",
    "Degradation",
    "acquired_as",
    "check_degradation",
    "check_same_grid",
    "crop_to_multiple",
    "downsample",
    "grid_offset",
    "high_affine",
    "low_affine",
    "upsample",
]

Degradation = str  # one of DEGRADATIONS
Interpolation = Literal["trilinear", "cubic"]

_SHARED_VOXEL = ("kspace", "nearest")  # their grids share voxel 0; the others fill the same box
_ACQUIRED = tuple(name for name in TRAINING_OPERATORS if name not in ("kspace", "triangle"))
DEGRADATIONS: tuple[Degradation, ...] = ("linear", *_SHARED_VOXEL, *_ACQUIRED, "acquired")


def grid_offset(degradation: Degradation, scale: int = 2) -> float:
    """Return where the centre of low-resolution voxel 0 lies, in high-resolution voxels.

    Raises:
        ValueError: If ``degradation`` is unknown or ``scale < 1``.

    >>> grid_offset("linear"), grid_offset("kspace"), grid_offset("nearest")
    (0.5, 0.0, 0.0)
    """
    check_degradation(degradation, scale)
    return 0.0 if degradation in _SHARED_VOXEL else (scale - 1) / 2


def acquired_as(degradation: Degradation) -> str:
    """Return the operator of :mod:`custom.physics.acquisition` that stands for a degradation."""
    return {"linear": "triangle", "acquired": "kspace"}.get(degradation, degradation)


def low_affine(high_affine: Tensor, degradation: Degradation, scale: int = 2) -> Tensor:
    """Return the affine of the low-resolution grid of a high-resolution one.

    Args:
        high_affine: ``(4, 4)``, voxel index to millimetres.
        degradation: How the volume is downsampled.
        scale: Whole number, at least 1.
    """
    return high_affine @ _grid_step(high_affine, scale, grid_offset(degradation, scale))


def high_affine(low_affine: Tensor, degradation: Degradation, scale: int = 2) -> Tensor:
    """Return the affine of the high-resolution grid of a low-resolution one.

    Args:
        low_affine: ``(4, 4)``, voxel index to millimetres.
        degradation: How the volume was downsampled.
        scale: Whole number, at least 1.
    """
    offset = grid_offset(degradation, scale)
    return low_affine @ _grid_step(low_affine, 1 / scale, -offset / scale)


def crop_to_multiple(volume: Tensor, scale: int = 2) -> Tensor:
    """Leave out the last planes of a volume whose sizes are no multiples of the scale.

    Shape:
        ``(..., D, H, W)``; output: each of the three a multiple of ``scale``.
    """
    d, h, w = (size - size % scale for size in volume.shape[-3:])
    return volume[..., :d, :h, :w]


def downsample(volume: Tensor, degradation: Degradation, scale: int = 2) -> Tensor:
    """Lower the resolution of a volume.

    Args:
        volume: High-resolution volume; whole numbers become float32.
        degradation: One of ``DEGRADATIONS`` (see the module).
        scale: Whole number, at least 1.

    Shape:
        ``volume``: ``(B, C, D, H, W)``; output: ``(B, C, D // scale, H // scale, W // scale)``.

    Raises:
        ValueError: If ``degradation`` is unknown, ``scale < 1``, or ``volume`` has not five axes.
        ValueError: If the volume is thinner than ``scale`` voxels.
    """
    check_degradation(degradation, scale)
    if volume.ndim != 5:
        raise ValueError(f"volume must be (B, C, D, H, W), got {tuple(volume.shape)}")
    if min(volume.shape[2:]) < scale:
        raise ValueError(
            f"a volume of {tuple(volume.shape[2:])} voxels cannot be downsampled by {scale}: "
            f"give one with at least {scale} voxels along each axis"
        )
    values = crop_to_multiple(_as_floating(volume), scale)
    if scale == 1:
        return values
    if degradation == "nearest":
        return values[..., ::scale, ::scale, ::scale].contiguous()
    if degradation == "linear":
        return _antialiased(values, [size // scale for size in values.shape[2:]])
    if degradation != "kspace":
        return acquire(values, acquired_as(degradation), scale)
    for axis in (2, 3, 4):
        values = _keep_low_frequencies(values, axis, values.shape[axis] // scale)
    return values


def upsample(
    volume: Tensor, degradation: Degradation, scale: int = 2, mode: Interpolation = "trilinear"
) -> Tensor:
    """Interpolate a volume to the high-resolution grid of its degradation.

    Args:
        volume: Low-resolution volume.
        degradation: How it was downsampled, which decides where the finer grid lies.
        scale: Whole number, at least 1.
        mode: ``trilinear``, with the edge voxels repeated beyond the volume; or ``cubic``, cubic
            B-splines through the voxels, mirrored beyond it, computed on the CPU by SciPy and
            without a gradient.

    Shape:
        ``volume``: ``(B, C, D, H, W)``; output: ``(B, C, scale D, scale H, scale W)``.

    Raises:
        ValueError: If ``degradation`` or ``mode`` is unknown, ``scale < 1``, or ``volume`` has not
            five axes.
    """
    offset = grid_offset(degradation, scale)
    if volume.ndim != 5:
        raise ValueError(f"volume must be (B, C, D, H, W), got {tuple(volume.shape)}")
    values = _as_floating(volume)
    if mode == "cubic":
        return _cubic_spline(values, scale, offset)
    if mode != "trilinear":
        raise ValueError(f"mode must be trilinear or cubic, got {mode!r}")
    size = [scale * length for length in values.shape[2:]]
    if degradation not in _SHARED_VOXEL:
        return interpolate(values, size=size, mode="trilinear", align_corners=False)
    # Voxel centres coincide: with the last plane repeated the corners of both grids do too.
    longer = pad(values, (0, 1) * 3, mode="replicate")
    fine = interpolate(
        longer, size=[length + 1 for length in size], mode="trilinear", align_corners=True
    )
    return fine[..., :-1, :-1, :-1]


def check_degradation(degradation: str, scale: int) -> None:
    """Refuse an unknown degradation, or a scale below 1.

    Raises:
        ValueError: If ``degradation`` is unknown or ``scale < 1``.
    """
    if degradation not in DEGRADATIONS:
        known = ", ".join(DEGRADATIONS)
        raise ValueError(f"degradation must be one of {known}, got {degradation!r}")
    if scale < 1:
        raise ValueError(f"scale must be at least 1, got {scale}")


def check_same_grid(degradation: str, other: str) -> None:
    """Refuse an operator whose coarse grid lies half a voxel beside that of another.

    Raises:
        ValueError: If an operator is unknown, or the grids differ.
    """
    if grid_offset(degradation) != grid_offset(other):
        raise ValueError(
            f"acquired_by {other} has another grid than degradation {degradation}: choose one "
            f"of {', '.join(n for n in DEGRADATIONS if grid_offset(n) == grid_offset(degradation))}"
        )


def _as_floating(volume: Tensor) -> Tensor:
    """Return a plain tensor that can be interpolated."""
    values = volume.as_subclass(Tensor)
    return values if values.is_floating_point() else values.float()


def _grid_step(affine: Tensor, step: float, offset: float) -> Tensor:
    """Return the map from an index of the new grid to one of the old grid."""
    to_old = torch.eye(4, dtype=affine.dtype, device=affine.device)
    to_old[range(3), range(3)] = step
    to_old[:3, 3] = offset
    return to_old


def _antialiased(values: Tensor, size: Sequence[int]) -> Tensor:
    """Apply torch's antialiased filter of planes to the last two axes, then to the first one."""
    b, c, d, h, w = values.shape
    # Separable: torch has an antialiased filter for planes only.
    flat = interpolate(
        values.reshape(b * c, d, h, w), size=(size[1], size[2]), mode="bilinear", antialias=True
    )
    # An axis that keeps its size is not filtered.
    columns = flat.reshape(b * c, 1, d, size[1] * size[2])
    thin = interpolate(columns, size=(size[0], columns.shape[-1]), mode="bilinear", antialias=True)
    return thin.reshape(b, c, *size)


def _keep_low_frequencies(values: Tensor, axis: int, size: int) -> Tensor:
    """Keep the ``size`` lowest frequencies along an axis."""
    # norm="forward": amplitudes, so that a constant keeps its value on fewer voxels.
    spectrum = torch.fft.rfft(values, dim=axis, norm="forward").narrow(axis, 0, size // 2 + 1)
    if size % 2 == 0:
        # Plus and minus the Nyquist frequency fall on one sample: their sum is real.
        last = spectrum.narrow(axis, size // 2, 1)
        below = spectrum.narrow(axis, 0, size // 2)
        spectrum = torch.cat(
            [below, torch.complex(2 * last.real, torch.zeros_like(last.real))], axis
        )
    kept: Tensor = torch.fft.irfft(spectrum, n=size, dim=axis, norm="forward")
    return kept


def _cubic_spline(values: Tensor, scale: int, offset: float) -> Tensor:
    """Interpolate each channel by cubic B-splines."""
    size = [scale * length for length in values.shape[2:]]
    fine = np.stack(
        [
            ndimage.affine_transform(
                channel, [1 / scale] * 3, -offset / scale, size, order=3, mode="mirror"
            )
            for channel in values.detach().cpu().flatten(0, 1).numpy()
        ]
    )
    return torch.from_numpy(fine).to(values).reshape(*values.shape[:2], *size)
