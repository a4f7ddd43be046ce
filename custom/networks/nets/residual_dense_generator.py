"""The study's generator: residual-in-residual dense blocks, then a voxel shuffle."""

from __future__ import annotations

import torch
from monai.networks.utils import pixelshuffle
from torch import Tensor, nn
from torch.nn import functional as F

from custom.networks.blocks.interpolated_skip import Degradation, InterpolatedSkip
from custom.networks.blocks.residual_dense_block import ResidualInResidualBlock
from custom.networks.initialisation import kaiming_init

__all__ = ["ResidualDenseGenerator", "VoxelShuffleHead"]

# Weights of the last convolution are multiplied by this where the input is added interpolated.
_START = 0.01


class VoxelShuffleHead(nn.Module):
    """Bring features to the high resolution and turn them into the image.

    Convolution to ``scale ** 3`` times the channels, LeakyReLU, voxel shuffle, convolution,
    LeakyReLU, convolution to one channel; all of size 3.

    Without gradients the planes of the first axis are worked on ``slab`` at a time, each with
    ``halo`` planes of its neighbours: the same result, while the high-resolution features, ``scale
    ** 3`` times as large as all others, exist for one slab only.

    Args:
        channels: Of the features.
        scale: How many times finer the output is.
        negative_slope: Of the LeakyReLU.
        slab: Low-resolution planes worked on at once without gradients; 0: all.

    Shape:
        Input: ``(B, channels, D, H, W)``; output: ``(B, 1, scale D, scale H, scale W)``.
    """

    def __init__(
        self, channels: int, scale: int = 2, negative_slope: float = 0.2, slab: int = 16
    ) -> None:
        super().__init__()
        self.scale = scale
        self.negative_slope = negative_slope
        self.slab = slab
        # One convolution on the coarse grid, two on the fine one.
        self.halo = 1 + -(-2 // scale)
        self.expand = nn.Conv3d(channels, channels * scale**3, 3, padding=1)
        self.refine = nn.Conv3d(channels, channels, 3, padding=1)
        self.output = nn.Conv3d(channels, 1, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Return the image."""
        planes = features.shape[2]
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


class ResidualDenseGenerator(nn.Module):
    """Restore a volume at ``scale`` times its resolution; fully convolutional, any size.

    Convolution, ``num_blocks`` residual-in-residual dense blocks, convolution, a long skip over
    both, and a :class:`VoxelShuffleHead`. With ``channels=64, growth=64`` it has the 16,042,881
    parameters of the published generator. Weights are drawn by ``kaiming_init``.

    Args:
        channels: Width of the features.
        growth: Channels that each convolution of a dense block adds; published code: 64.
        num_blocks: Number of residual-in-residual blocks.
        dense_blocks: Dense blocks of each.
        convs: Convolutions of each dense block.
        scale: How many times finer the output is.
        residual_scale: Of every residue in a block.
        negative_slope: Of the LeakyReLU; the published code has 0.01, the text does not say.
        degradation: How the input came about; only the grid of the interpolated input depends on
            it.
        interpolated_skip: Whether the input, interpolated, is added to the output, and the last
            convolution starts small, so that an untrained network is near trilinear. Not in the
            source.
        slab: See :class:`VoxelShuffleHead`.

    Shape:
        Input: ``(B, 1, D, H, W)``; output: ``(B, 1, scale D, scale H, scale W)``.

    Raises:
        ValueError: If a number is too small, or ``degradation`` unknown.

    Source:
        METHODS.md, study 3, "Generator"; PEERS.md, section 1, for what the text leaves out.
    """

    def __init__(
        self,
        channels: int = 64,
        growth: int = 32,
        num_blocks: int = 3,
        dense_blocks: int = 3,
        convs: int = 5,
        scale: int = 2,
        residual_scale: float = 0.2,
        negative_slope: float = 0.2,
        degradation: Degradation = "linear",
        interpolated_skip: bool = True,
        slab: int = 16,
    ) -> None:
        super().__init__()
        if num_blocks < 1:
            raise ValueError(f"num_blocks must be at least 1, got {num_blocks}")
        self.skip = InterpolatedSkip(degradation, scale)
        self.interpolated_skip = interpolated_skip
        self.first = nn.Conv3d(1, channels, 3, padding=1)
        self.blocks = nn.Sequential(
            *(
                ResidualInResidualBlock(
                    channels, growth, dense_blocks, convs, residual_scale, negative_slope
                )
                for _ in range(num_blocks)
            )
        )
        self.fuse = nn.Conv3d(channels, channels, 3, padding=1)
        self.head = VoxelShuffleHead(channels, scale, negative_slope, slab)
        # First convolution, those of the blocks, and ``fuse``.
        trunk = 2 + num_blocks * dense_blocks * convs
        self.receptive_radius = trunk + self.head.halo
        kaiming_init(self, negative_slope)

    def after_kaiming(self) -> None:
        """Let the output start near 0, where it is a correction of the interpolated input."""
        if self.interpolated_skip:
            with torch.no_grad():
                self.head.output.weight *= _START

    def forward(self, x: Tensor) -> Tensor:
        """Return the restored volume."""
        features = self.first(x)
        features = self.fuse(self.blocks(features)).add_(features)
        image: Tensor = self.head(features)
        if self.interpolated_skip:
            image = image + self.skip(x)
        return image
