"""Interpolation of the low-resolution input, on the grid of its degradation."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from custom.physics.downsampling import Degradation, check_degradation, grid_offset

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

    def __init__(self, degradation: Degradation = "linear", scale: int = 2) -> None:
        super().__init__()
        check_degradation(degradation, scale)
        self.windowed = degradation not in ("linear", "kspace", "nearest")
        self.centred = degradation == "linear"
        self.scale, self.lobes = scale, _LOBES
        # One row a phase: the fine voxels of coarse voxel 0, from its neighbours on each side.
        place = (torch.arange(scale, dtype=torch.float64) - grid_offset(degradation, scale)) / scale
        t = place[:, None] - torch.arange(-_LOBES, _LOBES + 1)
        taps = torch.sinc(t) * torch.sinc(t / _LOBES) * (t.abs() < _LOBES)
        # Plain numbers: TorchScript would store a buffer among the weights.
        self.taps: list[float] = (taps / taps.sum(1, keepdim=True)).flatten().tolist()

    def forward(self, x: Tensor) -> Tensor:
        """Return the interpolated volume."""
        d, h, w = self.scale * x.shape[2], self.scale * x.shape[3], self.scale * x.shape[4]
        if self.windowed:
            fine = x.flatten(0, 1).unsqueeze(1)
            fine = self.finer(self.finer(self.finer(fine, 2), 3), 4)
            return fine.view(x.shape[0], x.shape[1], d, h, w)
        if self.centred:
            return F.interpolate(x, size=[d, h, w], mode="trilinear", align_corners=False)
        # One repeated plane at each far end: corners 0 and n then lie on fine voxels 0 and s n.
        padded = F.pad(x, [0, 1, 0, 1, 0, 1], mode="replicate")
        fine = F.interpolate(
            padded, size=[d + 1, h + 1, w + 1], mode="trilinear", align_corners=True
        )
        return fine[:, :, :d, :h, :w].contiguous()

    def finer(self, x: Tensor, axis: int) -> Tensor:
        """Interpolate ``(B, 1, D, H, W)`` along one axis by the windowed sinc."""
        ends = [0, 0, 0, 0, 0, 0]  # from the last axis on
        ends[2 * (4 - axis)] = self.lobes
        ends[2 * (4 - axis) + 1] = self.lobes
        shape = [self.scale, 1, 1, 1, 1]
        shape[axis] = -1
        taps = torch.tensor(self.taps, dtype=x.dtype, device=x.device).view(shape)
        phases = F.conv3d(F.pad(x, ends, mode="replicate"), taps)
        # Fine voxels s i + phase: the phase counts fastest along the axis.
        return phases.movedim(1, axis).flatten(axis - 1, axis).unsqueeze(1)
