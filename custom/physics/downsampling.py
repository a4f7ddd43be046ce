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
- ``truncated``: plain k-space truncation, on the same grid as ``acquired``.

The scale is one whole number, or one an axis, as ``(1, 1, 4)`` for thick slices. Sizes that are no
multiple of it lose their last planes first.

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

from custom.physics.acquisition import TRAINING_OPERATORS, acquire, axis_scales
from custom.setting_checks import check_choice

__all__ = [
    "DEGRADATIONS",
    "Degradation",
    "Scale",
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
Scale = int | Sequence[int]  # whole numbers of at least 1: one, or one an axis
Interpolation = Literal["trilinear", "cubic"]

_SHARED_VOXEL = ("kspace", "nearest")  # their grids share voxel 0; the others fill the same box
_ACQUIRED = tuple(name for name in TRAINING_OPERATORS if name not in ("kspace", "triangle"))
DEGRADATIONS: tuple[Degradation, ...] = (
    "linear",
    *_SHARED_VOXEL,
    *_ACQUIRED,
    "truncated",
    "acquired",
)


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
    names = {"linear": "triangle", "acquired": "kspace", "truncated": "kspace"}
    return names.get(degradation, degradation)


def low_affine(high_affine: Tensor, degradation: Degradation, scale: Scale = 2) -> Tensor:
    """Return the affine of the low-resolution grid of a high-resolution one.

    Args:
        high_affine: ``(4, 4)``, voxel index to millimetres.
        degradation: How the volume is downsampled.
        scale: See the module.
    """
    scales = axis_scales(scale)
    offsets = [grid_offset(degradation, factor) for factor in scales]
    return high_affine @ _grid_step(high_affine, scales, offsets)


def high_affine(low_affine: Tensor, degradation: Degradation, scale: Scale = 2) -> Tensor:
    """Return the affine of the high-resolution grid of a low-resolution one.

    Args:
        low_affine: ``(4, 4)``, voxel index to millimetres.
        degradation: How the volume was downsampled.
        scale: See the module.
    """
    scales = axis_scales(scale)
    offsets = [-grid_offset(degradation, factor) / factor for factor in scales]
    return low_affine @ _grid_step(low_affine, [1 / factor for factor in scales], offsets)


def crop_to_multiple(volume: Tensor, scale: Scale = 2) -> Tensor:
    """Leave out the last planes of a volume whose sizes are no multiples of the scale.

    Shape:
        ``(..., D, H, W)``; output: each of the three a multiple of ``scale``.
    """
    sizes = zip(volume.shape[-3:], axis_scales(scale), strict=True)
    d, h, w = (size - size % factor for size, factor in sizes)
    return volume[..., :d, :h, :w]


def downsample(volume: Tensor, degradation: Degradation, scale: Scale = 2) -> Tensor:
    """Lower the resolution of a volume.

    Args:
        volume: High-resolution volume; whole numbers become float32.
        degradation: One of ``DEGRADATIONS`` (see the module).
        scale: See the module.

    Shape:
        ``volume``: ``(B, C, D, H, W)``; output: ``(B, C, D // scale, H // scale, W // scale)``.

    Raises:
        ValueError: If ``degradation`` is unknown, ``scale < 1``, or ``volume`` has not five axes.
        ValueError: If the volume is thinner than ``scale`` voxels.
    """
    scales = check_degradation(degradation, scale)
    if volume.ndim != 5:
        raise ValueError(f"volume must be (B, C, D, H, W), got {tuple(volume.shape)}")
    if any(size < factor for size, factor in zip(volume.shape[2:], scales, strict=True)):
        raise ValueError(
            f"a volume of {tuple(volume.shape[2:])} voxels cannot be downsampled by {scale}: "
            f"give one with at least {max(scales)} voxels along each axis"
        )
    values = crop_to_multiple(_as_floating(volume), scales)
    if max(scales) == 1:
        return values
    if degradation == "nearest":
        return values[..., :: scales[0], :: scales[1], :: scales[2]].contiguous()
    if degradation != "kspace":
        return acquire(values, acquired_as(degradation), scales)
    for axis, factor in zip((2, 3, 4), scales, strict=True):
        if factor > 1:
            values = _keep_low_frequencies(values, axis, values.shape[axis] // factor)
    return values


def upsample(
    volume: Tensor, degradation: Degradation, scale: Scale = 2, mode: Interpolation = "trilinear"
) -> Tensor:
    """Interpolate a volume to the high-resolution grid of its degradation.

    Args:
        volume: Low-resolution volume.
        degradation: How it was downsampled, which decides where the finer grid lies.
        scale: See the module.
        mode: ``trilinear``, with the edge voxels repeated beyond the volume; or ``cubic``, cubic
            B-splines through the voxels, mirrored beyond it, computed on the CPU by SciPy and
            without a gradient.

    Shape:
        ``volume``: ``(B, C, D, H, W)``; output: ``(B, C, scale D, scale H, scale W)``.

    Raises:
        ValueError: If ``degradation`` or ``mode`` is unknown, ``scale < 1``, or ``volume`` has not
            five axes.
    """
    scales = check_degradation(degradation, scale)
    if volume.ndim != 5:
        raise ValueError(f"volume must be (B, C, D, H, W), got {tuple(volume.shape)}")
    values = _as_floating(volume)
    size = [factor * length for factor, length in zip(scales, values.shape[2:], strict=True)]
    if mode == "cubic":
        offsets = [grid_offset(degradation, factor) for factor in scales]
        return _cubic_spline(values, size, scales, offsets)
    if mode != "trilinear":
        raise ValueError(f"mode must be trilinear or cubic, got {mode!r}")
    if degradation not in _SHARED_VOXEL:
        return interpolate(values, size=size, mode="trilinear", align_corners=False)
    # Voxel centres coincide: with the last plane repeated the corners of both grids do too.
    longer = pad(values, (0, 1) * 3, mode="replicate")
    fine = interpolate(
        longer, size=[length + 1 for length in size], mode="trilinear", align_corners=True
    )
    return fine[..., :-1, :-1, :-1]


def check_degradation(
    degradation: str, scale: Scale = 1, setting: str = "degradation"
) -> tuple[int, int, int]:
    """Refuse an unknown degradation, or a scale below 1; return the scale of each axis.

    Args:
        degradation: One of ``DEGRADATIONS``.
        scale: See the module.
        setting: What the user calls the degradation.

    Raises:
        ValueError: If ``degradation`` is unknown or ``scale < 1``.
    """
    check_choice(setting, degradation, DEGRADATIONS)
    return axis_scales(scale)


def check_same_grid(degradation: str, other: str) -> None:
    """Refuse an operator whose coarse grid lies half a voxel beside that of another.

    Raises:
        ValueError: If an operator is unknown, or the grids differ.
    """
    check_degradation(other, setting="acquired_by")
    if grid_offset(degradation) != grid_offset(other):
        raise ValueError(
            f"acquired_by {other} has another grid than degradation {degradation}: choose one "
            f"of {', '.join(n for n in DEGRADATIONS if grid_offset(n) == grid_offset(degradation))}"
        )


def _as_floating(volume: Tensor) -> Tensor:
    """Return a plain tensor that can be interpolated."""
    values = volume.as_subclass(Tensor)
    return values if values.is_floating_point() else values.float()


def _grid_step(affine: Tensor, steps: Sequence[float], offsets: Sequence[float]) -> Tensor:
    """Return the map from an index of the new grid to one of the old grid."""
    to_old = torch.eye(4, dtype=affine.dtype, device=affine.device)
    to_old[range(3), range(3)] = torch.tensor(steps).to(affine)
    to_old[:3, 3] = torch.tensor(offsets).to(affine)
    return to_old


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


def _cubic_spline(
    values: Tensor, size: list[int], scales: Sequence[int], offsets: Sequence[float]
) -> Tensor:
    """Interpolate each channel by cubic B-splines."""
    steps = [1 / factor for factor in scales]
    first = [-offset / factor for offset, factor in zip(offsets, scales, strict=True)]
    fine = np.stack(
        [
            ndimage.affine_transform(channel, steps, first, size, order=3, mode="mirror")
            for channel in values.detach().cpu().flatten(0, 1).numpy()
        ]
    )
    return torch.from_numpy(fine).to(values).reshape(*values.shape[:2], *size)
