"""Generator of the three-player GAN: residual-in-residual dense blocks and a voxel shuffle."""

from __future__ import annotations

from torch import Tensor, nn

from custom.networks.blocks.interpolated_skip import InterpolatedSkip
from custom.networks.blocks.residual_dense_block import ResidualInResidualBlock
from custom.networks.blocks.voxel_shuffle_head import VoxelShuffleHead
from custom.networks.initialisation import kaiming_init
from custom.physics.downsampling import Degradation

__all__ = ["ResidualDenseGenerator"]


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
        residual_scale: Factor of every residue in a block.
        negative_slope: Negative slope of the LeakyReLU; the published code has 0.01, the text does
            not say.
        degradation: Operator that made the input; only the grid of the interpolated input depends
            on it.
        interpolated_skip: Whether the input, interpolated, is added to the output, and the last
            convolution starts small, so that an untrained network is near it. Not in the source.
        slab: See :class:`VoxelShuffleHead`.

    Shape:
        Input: ``(B, 1, D, H, W)``; output: ``(B, 1, scale D, scale H, scale W)``.

    Raises:
        ValueError: If a number is too small, or ``degradation`` unknown.

    Source:
        docs/methods/gan3d_sr_denoise.md, "Generator".
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
        self.head = VoxelShuffleHead(channels, scale, negative_slope, interpolated_skip, slab)
        # First convolution, those of the blocks, and ``fuse``.
        trunk = 2 + num_blocks * dense_blocks * convs
        self.receptive_radius = trunk + self.head.halo
        kaiming_init(self, negative_slope)

    def forward(self, x: Tensor) -> Tensor:
        """Return the restored volume."""
        features = self.first(x)
        features = self.fuse(self.blocks(features)).add_(features)
        image: Tensor = self.head(features)
        if self.interpolated_skip:
            image = image + self.skip(x)
        return image
