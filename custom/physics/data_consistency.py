r"""Data consistency: correct a restored volume where it contradicts the measured one.

A restoration :math:`y` should give the measured volume :math:`m` when it is degraded again by
:math:`D`. The difference is brought to the fine grid and added:

.. math:: y' = y + s\, U(m - D y), \qquad 0 \le s \le 1

:math:`U` writes the low-resolution spectrum into the centre of the high-resolution one, divided by
the transfer function :math:`H` of the degradation. So

- ``kspace``: :math:`K_{y'} = (1 - s) K_y + s K_m` in the centre of k-space, nothing changes
  outside of it, and :math:`D y' = m` for :math:`s = 1`. Plus and minus the Nyquist frequency of an
  even matrix fall on one measured sample; each gets half of its change.
- ``nearest``: the same :math:`U`; :math:`D y' = m` for :math:`s = 1` too.
- ``linear``: :math:`H` is that of the triangle filter, along each axis
  :math:`\sum_d w_d \cos(\omega d)`, 0.354 at the edge of the band for scale 2 and 0.044 in its
  corner. It is symmetric about the centres of the coarse voxels, so cosine transforms (volumes
  mirrored at their faces) hold the half voxel between the grids and have no wrap-around. Only in
  the outermost plane does the filter's own border rule differ: there a small part of the
  difference stays. Noise of the measurement is amplified by :math:`1 / H`, at most ``max_gain``.
- The operators of :mod:`custom.physics.acquisition`: the same, with their own transfer functions
  (:mod:`custom.physics.deconvolution`).

Memory: besides the volume and the result, one half-filled spectrum of the volume.

Source:
    Not in the thesis, see docs/methods/gan3d_sr_denoise.md, "Not in the paper".
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from custom.physics.acquisition import axis_scales
from custom.physics.deconvolution import deconvolved
from custom.physics.downsampling import Degradation, Scale, acquired_as, downsample
from custom.setting_checks import check_above_zero, check_share

__all__ = ["check_consistency", "data_consistency"]


def data_consistency(
    restored: Tensor,
    measured: Tensor,
    strength: float,
    degradation: Degradation = "linear",
    scale: Scale = 2,
    max_gain: float = 10.0,
) -> Tensor:
    """Move a restored volume towards the measured one (see the module).

    Args:
        restored: High-resolution volume.
        measured: Low-resolution volume, in the same unit.
        strength: ``s``: 0 changes nothing, 1 puts the measured values in place.
        degradation: Operator of the measured volume.
        scale: How many times finer the restored volume is: one number, or one an axis.
        max_gain: Largest amplification of a frequency of the difference; not on grids that share
            voxel 0.

    Shape:
        ``restored`` and output: ``(B, C, scale D, scale H, scale W)``; ``measured``:
        ``(B, C, D, H, W)``.

    Raises:
        ValueError: If the shapes do not fit, or an argument is out of its range.
    """
    check_consistency(strength, max_gain)
    scales = axis_scales(scale)
    sizes = (f * length for f, length in zip(scales, measured.shape[2:], strict=True))
    expected = (*measured.shape[:2], *sizes)
    if restored.ndim != 5 or restored.shape != expected:
        raise ValueError(
            f"restored must be {expected} for measured {tuple(measured.shape)}, "
            f"got {tuple(restored.shape)}"
        )
    # Not merely a weight of 0: by the transforms one NaN of the input would fill the volume.
    if strength == 0:
        return restored
    missing = measured.to(restored) - downsample(restored, degradation, scale)
    if degradation in ("kspace", "nearest"):
        correction = _zero_filled(missing, scales)
    else:
        correction = _cosine_filled(missing, degradation, scales, max_gain)
    return correction.mul_(strength).add_(restored)


def check_consistency(strength: float, max_gain: float) -> None:
    """Refuse settings that are out of range, by an error that the user reads."""
    check_share("data_consistency", strength)
    # Infinity is allowed: the exact inverse of the filter, right for data without noise.
    if max_gain != math.inf:
        check_above_zero("max_gain", max_gain)


def _zero_filled(values: Tensor, scales: Sequence[int]) -> Tensor:
    """Interpolate by zero filling, on grids that share voxel 0."""
    for axis, scale in zip((2, 3, 4), scales, strict=True):
        size = values.shape[axis]
        # norm="forward": amplitudes, which do not depend on the number of voxels of a grid.
        spectrum = torch.fft.rfft(values, dim=axis, norm="forward")
        if size % 2 == 0 and scale > 1:  # half for plus and half for minus the Nyquist frequency
            spectrum.narrow(axis, size // 2, 1).mul_(0.5)
        values = torch.fft.irfft(spectrum, n=scale * size, dim=axis, norm="forward")
    return values


def _cosine_filled(
    values: Tensor, degradation: str, scales: Sequence[int], max_gain: float
) -> Tensor:
    """Invert the operator and interpolate, on grids that fill the same box."""
    # By SciPy on the CPU: torch has no cosine transform.
    parts = values.cpu().flatten(0, 1).numpy()
    operator = acquired_as(degradation)
    found = [deconvolved(part, operator, scales, most_gain=max_gain) for part in parts]
    made = torch.from_numpy(np.stack(found)).to(values)
    return made.view(*values.shape[:2], *made.shape[1:])
