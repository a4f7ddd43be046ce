"""DISGAN's wavelet unit: low- and high-frequency features of a volume."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from custom.networks.blocks.haar_wavelet import HaarWavelet3d, pad_to_even

__all__ = ["HighBands", "WaveletUnit"]

HighBands = Literal["sum", "concatenate"]
_HIGH = ("sum", "concatenate")


class WaveletUnit(nn.Module):
    r"""Haar transform, then one convolution of size 1 for the low and one for the high bands.

    The low one sees ``LLL``. The high one sees the other seven: added (``sum``, the source's text),
    or side by side (``concatenate``, the published code). Of low and high along an axis the sum is
    ``(a + b)/sqrt(2) + (a - b)/sqrt(2) = sqrt(2) a``, so all eight bands add up to the even voxels:

    .. math:: \sum_{b \ne LLL} x_b = 2 \sqrt 2 \, x_{2i, 2j, 2k} - LLL

    by which ``sum`` is computed, without the other bands. The sum therefore carries one number of
    seven: how one voxel of eight differs from their mean.

    Args:
        channels: Channels of the input.
        low_channels: Channels of the low-frequency features.
        high_channels: Channels of the high-frequency features.
        high: How the seven bands are combined before their convolution.

    Shape:
        Input: ``(B, channels, D, H, W)``; outputs: ``(B, low_channels or high_channels, ceil(D/2),
        ceil(H/2), ceil(W/2))``.

    Raises:
        ValueError: If ``high`` is unknown.

    Source:
        docs/methods/gan3d_sr_denoise.md, "Critics" (b).
    """

    def __init__(
        self, channels: int, low_channels: int, high_channels: int, high: HighBands = "sum"
    ) -> None:
        super().__init__()
        if high not in _HIGH:
            raise ValueError(f"high must be one of {_HIGH}, got {high!r}")
        self.summed = high == "sum"
        self.wavelet = HaarWavelet3d()
        self.low = nn.Conv3d(channels, low_channels, 1)
        self.high = nn.Conv3d(channels if self.summed else 7 * channels, high_channels, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return low- and high-frequency features."""
        if self.summed:
            x = pad_to_even(x)
            lowest = F.avg_pool3d(x, 2) * 8**0.5
            rest = x[:, :, ::2, ::2, ::2] * 8**0.5 - lowest
        else:
            bands = self.wavelet(x)
            lowest = bands[:, 0]
            rest = bands[:, 1:].flatten(1, 2)
        return self.low(lowest), self.high(rest)
