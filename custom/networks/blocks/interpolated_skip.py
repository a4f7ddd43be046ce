"""Trilinear interpolation of the low-resolution input, on the grid of its degradation."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Degradation", "InterpolatedSkip"]

Degradation = Literal["linear", "kspace", "nearest"]
_DEGRADATIONS = ("linear", "kspace", "nearest")


class InterpolatedSkip(nn.Module):
    r"""Interpolate a volume trilinearly to the finer grid that it was downsampled from.

    High-resolution voxel ``j`` lies at ``(j - o) / s`` on the coarse grid: ``o = (s - 1) / 2`` for
    ``linear``, whose coarse voxels are centred on ``s`` fine ones; ``o = 0`` for ``kspace`` and
    ``nearest``, where coarse voxel ``i`` is fine voxel ``s i``. Beyond the outermost centres the
    edge is repeated.

    Args:
        degradation: Operator that made the low-resolution volume.
        scale: ``s``.

    Shape:
        Input: ``(B, C, D, H, W)``; output: ``(B, C, s D, s H, s W)``.

    Raises:
        ValueError: If ``degradation`` is unknown or ``scale`` less than 1.
    """

    def __init__(self, degradation: Degradation = "linear", scale: int = 2) -> None:
        super().__init__()
        if degradation not in _DEGRADATIONS:
            raise ValueError(f"degradation must be one of {_DEGRADATIONS}, got {degradation!r}")
        if scale < 1:
            raise ValueError(f"scale must be at least 1, got {scale}")
        self.centred = degradation == "linear"
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Return the interpolated volume."""
        d, h, w = self.scale * x.shape[2], self.scale * x.shape[3], self.scale * x.shape[4]
        if self.centred:
            return F.interpolate(x, size=[d, h, w], mode="trilinear", align_corners=False)
        # One repeated plane at each far end: corners 0 and n then lie on fine voxels 0 and s n.
        padded = F.pad(x, [0, 1, 0, 1, 0, 1], mode="replicate")
        fine = F.interpolate(
            padded, size=[d + 1, h + 1, w + 1], mode="trilinear", align_corners=True
        )
        return fine[:, :, :d, :h, :w].contiguous()
