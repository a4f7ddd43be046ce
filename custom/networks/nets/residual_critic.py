"""Critics that give a coarse map of scores: of strided residual blocks, and of plain patches."""

from __future__ import annotations

from monai.networks.nets.patchgan_discriminator import PatchDiscriminator
from torch import Tensor, nn
from torch.nn import functional as F

from custom.networks.blocks.wavelet_unit import pad_to_even
from custom.networks.initialisation import kaiming_init

__all__ = ["PatchCritic", "ResidualCritic"]


class _StridedBlock(nn.Module):
    """Two convolutions, the second of stride 2, each normalised; a shortcut if ``residual``."""

    def __init__(self, inputs: int, outputs: int, slope: float, first: bool, residual: bool):
        super().__init__()
        self.negative_slope = slope
        self.residual = residual
        self.conv1 = nn.Conv3d(inputs, outputs, 3, padding=1)
        self.norm1 = nn.Identity() if first else nn.InstanceNorm3d(outputs, affine=True)
        self.conv2 = nn.Conv3d(outputs, outputs, 3, stride=2, padding=1)
        self.norm2 = nn.InstanceNorm3d(outputs, affine=True)
        self.shortcut = nn.Conv3d(inputs, outputs, 1, bias=False) if residual else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return features of half the size, rounded up."""
        y = F.leaky_relu_(self.norm1(self.conv1(x)), self.negative_slope)
        y = self.norm2(self.conv2(y))
        if self.residual:
            # Padded: the strided convolution rounds odd sizes up, pooling would round them down.
            y = y + self.shortcut(F.avg_pool3d(pad_to_even(x), 2))
        return F.leaky_relu_(y, self.negative_slope)


class ResidualCritic(nn.Module):
    """Score how real each region of a volume looks.

    ``num_blocks`` residual blocks, each of two convolutions, the second of stride 2, with
    InstanceNorm and LeakyReLU; the channels double from block to block. A last convolution gives
    one channel. The first convolution of all is not normalised, so that intensities are seen.

    Args:
        features: Channels of the first block.
        num_blocks: Number of blocks; the source has 4.
        negative_slope: Negative slope of the LeakyReLU.
        residual: Whether the input of a block, average-pooled by 2 and through a convolution of
            size 1, is added to its result, as the paper's text has it. The published code has no
            such shortcut; without it the network has that code's 14,066,369 parameters.

    Shape:
        Input: ``(B, 1, D, H, W)``; output, logits: ``(B, 1, d, h, w)`` with ``d = ceil(D / 2 **
        num_blocks)``.

    Raises:
        ValueError: If a number is less than 1; on a volume whose map would be a single voxel,
            which InstanceNorm cannot normalise.

    Source:
        docs/methods/gan3d_sr_denoise.md, "Critics" (a).
    """

    def __init__(
        self,
        features: int = 64,
        num_blocks: int = 4,
        negative_slope: float = 0.2,
        residual: bool = True,
    ) -> None:
        super().__init__()
        if features < 1 or num_blocks < 1:
            raise ValueError(
                f"features and num_blocks must be at least 1, got {features} and {num_blocks}"
            )
        widths = [1] + [features * 2**level for level in range(num_blocks)]
        # Up to this size the last map would be a single voxel.
        self.largest_refused = 2**num_blocks
        self.blocks = nn.Sequential(
            *(
                _StridedBlock(widths[i], widths[i + 1], negative_slope, i == 0, residual)
                for i in range(num_blocks)
            )
        )
        self.output = nn.Conv3d(widths[-1], 1, 3, padding=1)
        kaiming_init(self, negative_slope)

    def forward(self, x: Tensor) -> Tensor:
        """Return the map of logits."""
        if max(x.shape[2], x.shape[3], x.shape[4]) <= self.largest_refused:
            raise ValueError(
                f"the critic needs an axis of more than {self.largest_refused} voxels, "
                f"got {list(x.shape)}"
            )
        logits: Tensor = self.output(self.blocks(x))
        return logits


class PatchCritic(nn.Module):
    """MONAI's patch discriminator of slices as a critic: its last output alone, normalised a slice.

    Convolutions of stride 2 with LeakyReLU 0.2, each but the first with layer normalisation; the
    channels double. A last convolution gives one channel. Slices of a batch do not see each other,
    as a gradient penalty asks.

    Args:
        features: Channels of the first convolution.
        layers: Number of convolutions of stride 2.

    Shape:
        Input: ``(B, 1, H, W)``; output: ``(B, 1, h, w)``, about ``H / 2 ** layers``.

    Source:
        docs/methods/brain_3t7t_sr.md, "Losses"; P. Isola et al., CVPR 2017 (patches).
    """

    def __init__(self, features: int = 16, layers: int = 3) -> None:
        super().__init__()
        self.discriminator = PatchDiscriminator(
            spatial_dims=2,
            channels=features,
            in_channels=1,
            num_layers_d=layers - 1,  # beside the first
            norm=("group", {"num_groups": 1}),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Score a batch of slices."""
        scores: Tensor = self.discriminator(x)[-1]
        return scores
