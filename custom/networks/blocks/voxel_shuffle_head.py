"""Voxel shuffle: from features at the low resolution to an image at the high one."""

from __future__ import annotations

import torch
from monai.networks.utils import pixelshuffle
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["VoxelShuffleHead"]

# The last convolution's weights are multiplied by this for an output near 0.
# Not 0, which would keep gradients from all earlier layers in the first step.
_SMALL = 0.01


class VoxelShuffleHead(nn.Module):
    """Upsample features by a voxel shuffle and turn them into the image.

    Convolution to ``scale ** 3`` times the channels, LeakyReLU, voxel shuffle, convolution,
    LeakyReLU, convolution to one channel; all of size 3.

    Without gradients the first axis is processed ``slab`` planes at a time, each slab with ``halo``
    planes of its neighbours. The result is the same, but the high-resolution features, ``scale **
    3`` times as large as all others, exist for one slab only.

    Args:
        channels: Channels of the features.
        scale: How many times finer the output is.
        negative_slope: Negative slope of the LeakyReLU.
        near_zero: Whether ``kaiming_init`` leaves the last convolution small, for an output that is
            added to an image.
        slab: Low-resolution planes processed at once without gradients; 0: all.

    Shape:
        Input: ``(B, channels, D, H, W)``; output: ``(B, 1, scale D, scale H, scale W)``.
    """

    def __init__(
        self,
        channels: int,
        scale: int = 2,
        negative_slope: float = 0.2,
        near_zero: bool = False,
        slab: int = 16,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.negative_slope = negative_slope
        self.near_zero = near_zero
        self.slab = slab
        # Receptive radius: one convolution on the coarse grid, two on the fine one.
        self.halo = 1 + -(-2 // scale)
        self.expand = nn.Conv3d(channels, channels * scale**3, 3, padding=1)
        self.refine = nn.Conv3d(channels, channels, 3, padding=1)
        self.output = nn.Conv3d(channels, 1, 3, padding=1)

    def after_kaiming(self) -> None:
        """Make the last convolution small, if the output is to start near 0."""
        if self.near_zero:
            with torch.no_grad():
                self.output.weight *= _SMALL

    def forward(self, features: Tensor) -> Tensor:
        """Return the image."""
        planes = features.shape[2]
        # With gradients every slab would be kept for the backward pass, and its halo twice.
        if torch.is_grad_enabled() or self.slab < 1 or planes <= self.slab + self.halo:
            return self.whole(features)
        parts: list[Tensor] = []
        for start in range(0, planes, self.slab):
            stop = min(start + self.slab, planes)
            first = max(start - self.halo, 0)
            last = min(stop + self.halo, planes)
            part = self.whole(features[:, :, first:last])
            parts.append(part[:, :, (start - first) * self.scale : (stop - first) * self.scale])
        return torch.cat(parts, 2)

    def whole(self, features: Tensor) -> Tensor:
        """Return the image of all planes at once."""
        x = F.leaky_relu_(self.expand(features), self.negative_slope)
        x = pixelshuffle(x, 3, self.scale)
        x = F.leaky_relu_(self.refine(x), self.negative_slope)
        image: Tensor = self.output(x)
        return image
