"""Interpolation of the low-resolution input, on the grid of its degradation."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from custom.physics.downsampling import Degradation, check_degradation, grid_offset, upsample

__all__ = ["InterpolatedSkip"]

_LOBES = 8  # of Lanczos' window: near zero filling, and still local, for tiles


class InterpolatedSkip(nn.Module):
    r"""Interpolate a volume to the finer grid that it was downsampled from.

    High-resolution voxel ``j`` lies at ``(j - o) / s`` on the coarse grid, with the ``o`` of
    :func:`custom.physics.downsampling.grid_offset`. Beyond the outermost centres the edge is
    repeated. Trilinear for the study's three degradations; Lanczos' for the others, with the
    weights along each axis :math:`\operatorname{sinc}(t)\operatorname{sinc}(t / 8)`
    divided by their sum.

    Args:
        degradation: Operator that made the low-resolution volume.
        scale: ``s``.

    Shape:
        Input: ``(B, C, D, H, W)``; output: ``(B, C, s D, s H, s W)``.

    Raises:
        ValueError: If ``degradation`` is unknown, or ``scale`` less than 1.
    """

    weights: Tensor

    def __init__(self, degradation: Degradation = "linear", scale: int = 2) -> None:
        super().__init__()
        check_degradation(degradation, scale)
        self.degradation, self.scale = degradation, scale
        # One row a phase: the fine voxels of coarse voxel 0, from its neighbours on each side.
        place = (torch.arange(scale) - grid_offset(degradation, scale)) / scale
        t = place[:, None] - torch.arange(-_LOBES, _LOBES + 1)
        taps = torch.sinc(t) * torch.sinc(t / _LOBES) * (t.abs() < _LOBES)
        # Computed, not stored with the weights.
        self.register_buffer("weights", taps / taps.sum(1, keepdim=True), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the interpolated volume."""
        if self.degradation in ("linear", "kspace", "nearest"):
            return upsample(x, self.degradation, self.scale)
        fine = x.flatten(0, 1).unsqueeze(1)
        for axis in (2, 3, 4):
            along = [other == axis for other in (2, 3, 4)]
            ends = [_LOBES * end for end in along[::-1] for _ in range(2)]  # the last axis first
            taps = self.weights.view(self.scale, 1, *(-1 if end else 1 for end in along))
            phases = F.conv3d(F.pad(fine, ends, mode="replicate"), taps)
            # Fine voxels s i + phase: the phase counts fastest along the axis.
            fine = phases.movedim(1, axis).flatten(axis - 1, axis).unsqueeze(1)
        return fine.view(*x.shape[:2], *fine.shape[2:])
