"""DISGAN's critic: a U-Net fed with wavelet features, one score for each voxel."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from custom.networks.blocks.residual_dense_block import ResidualDenseBlock
from custom.networks.blocks.wavelet_unit import HighBands, WaveletUnit
from custom.networks.initialisation import kaiming_init

__all__ = ["WaveletCritic"]

# Most channels of a level, in multiples of the first level's.
_WIDEST = 8


class _Down(nn.Module):
    """Halve features; their low frequencies join the result, their high ones are returned."""

    def __init__(self, inputs: int, outputs: int, slope: float, high: HighBands, norm: bool):
        super().__init__()
        self.negative_slope = slope
        low = max(outputs // 16, 1)
        self.wavelet = WaveletUnit(inputs, low, inputs, high)
        self.conv = nn.Conv3d(inputs, outputs - low, 4, stride=2, padding=1)
        self.norm = nn.InstanceNorm3d(outputs - low, affine=True) if norm else nn.Identity()
        self.dense = ResidualDenseBlock(outputs, outputs // 2, 3, negative_slope=slope)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return features of half the size, and high-frequency features of the same size."""
        low, high = self.wavelet(x)
        y = F.leaky_relu_(self.norm(self.conv(x)), self.negative_slope)
        return self.dense(torch.cat([y, low], 1)), high


class _Up(nn.Module):
    """Double features."""

    def __init__(self, inputs: int, outputs: int, slope: float):
        super().__init__()
        self.negative_slope = slope
        # Kernel 4 at stride 2: every voxel gets the same number of weights, without a checkerboard.
        self.conv = nn.ConvTranspose3d(inputs, outputs, 4, stride=2, padding=1)
        self.norm = nn.InstanceNorm3d(outputs, affine=True)
        self.dense = ResidualDenseBlock(outputs, outputs // 2, 3, negative_slope=slope)

    def forward(self, x: Tensor) -> Tensor:
        """Return features of twice the size."""
        y: Tensor = self.dense(F.leaky_relu_(self.norm(self.conv(x)), self.negative_slope))
        return y


class WaveletCritic(nn.Module):
    r"""Score how real each voxel looks, from features and sub-bands of every scale.

    At each level down a :class:`WaveletUnit` splits the features: the low-frequency part is
    concatenated with the strided convolution's (``1/16`` of the level's channels), the
    high-frequency part with the decoder's features of the same size, beside the skip connection. A
    residual dense block ends each level. Level ``l`` has ``features * min(2 ** (l - 1), 8)``
    channels, as published.

    InstanceNorm, where the published code has batch normalisation: memory often allows a batch of
    one only; and relativistic scores compare the mean over real volumes with that over generated
    ones, which must not depend on the statistics of each batch. The deepest level is not
    normalised, so that it may be a single voxel.

    Args:
        features: Channels of the first level, at least 2.
        depth: Number of levels down; the axes of a volume must be multiples of ``2 ** depth``. The
            published critic has 6 (multiples of 64).
        negative_slope: Negative slope of the LeakyReLU.
        high: See :class:`WaveletUnit`.

    Shape:
        Input and output, logits: ``(B, 1, D, H, W)``.

    Raises:
        ValueError: If a number is too small; on a volume whose axes are no such multiples.

    Source:
        docs/methods/gan3d_sr_denoise.md, "Critics" (b).
    """

    def __init__(
        self,
        features: int = 16,
        depth: int = 5,
        negative_slope: float = 0.2,
        high: HighBands = "sum",
    ) -> None:
        super().__init__()
        if features < 2 or depth < 1:
            raise ValueError(
                f"features must be at least 2 and depth at least 1, got {features} and {depth}"
            )
        widths = [features] + [features * min(2**level, _WIDEST) for level in range(depth)]
        self.multiple = 2**depth
        self.negative_slope = negative_slope
        self.first = nn.Conv3d(1, features, 3, padding=1)
        self.down = nn.ModuleList()
        up: list[nn.Module] = []
        for level in range(1, depth + 1):
            inputs, outputs, deepest = widths[level - 1], widths[level], level == depth
            self.down.append(_Down(inputs, outputs, negative_slope, high, not deepest))
            # The decoder's features, the high frequencies, and the skip, if there is one.
            joined = outputs + inputs + (0 if deepest else outputs)
            up.append(_Up(joined, inputs, negative_slope))
        self.up = nn.ModuleList(reversed(up))
        self.last = nn.Conv3d(2 * features, features, 3, padding=1)
        self.output = nn.Conv3d(features, 1, 3, padding=1)
        kaiming_init(self, negative_slope)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logit of each voxel."""
        # A power of 2 divides all three where it divides their bitwise or.
        if (x.shape[2] | x.shape[3] | x.shape[4]) % self.multiple != 0:
            raise ValueError(
                f"the critic needs axes that are multiples of {self.multiple}, got {list(x.shape)}"
            )
        y = F.leaky_relu_(self.first(x), self.negative_slope)
        skips: list[Tensor] = []
        highs: list[Tensor] = []
        for down in self.down:
            skips.append(y)
            y, high = down(y)
            highs.append(high)
        for level, up in enumerate(self.up):
            parts = [y, highs.pop()]
            # ``skips`` starts at the full size, so its last entry is one level above ``y``.
            if level > 0:
                parts.append(skips.pop())
            y = up(torch.cat(parts, 1))
        y = torch.cat([y, skips.pop()], 1)
        logits: Tensor = self.output(F.leaky_relu_(self.last(y), self.negative_slope))
        return logits
