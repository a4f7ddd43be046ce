"""Haar wavelet transform of volumes, and DISGAN's wavelet unit."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["HighBands", "WaveletUnit", "haar_bands", "pad_to_even"]

HighBands = Literal["sum", "concatenate"]
_HIGH = ("sum", "concatenate")


def pad_to_even(volume: Tensor) -> Tensor:
    """Return a volume ``(B, C, D, H, W)`` with the last plane of each odd axis repeated."""
    odd = [volume.shape[2] % 2, volume.shape[3] % 2, volume.shape[4] % 2]
    if odd == [0, 0, 0]:
        return volume
    return F.pad(volume, [0, odd[2], 0, odd[1], 0, odd[0]], mode="replicate")


def haar_bands(volume: Tensor) -> Tensor:
    r"""Return the eight sub-bands, of half the size, of the orthonormal Haar wavelet transform.

    Along each axis neighbours ``a, b`` at positions ``2i, 2i + 1`` become

    .. math:: l = (a + b) / \sqrt 2, \quad h = (a - b) / \sqrt 2

    Band ``4 z + 2 y + x`` is high along the first spatial axis if ``z`` is 1, along the second if
    ``y`` is, along the third if ``x`` is: ``LLL, LLH, LHL, LHH, HLL, HLH, HHL, HHH`` with letters
    in the order of the axes, in PyWavelets' names ``aaa, aad, ..., ddd`` with the same signs. The
    transform keeps the sum of squares of even-sized volumes. An odd axis is made even by repeating
    its last plane.

    Shape:
        Volume: ``(B, C, D, H, W)``; bands: ``(B, 8, C, ceil(D/2), ceil(H/2), ceil(W/2))``.

    Source:
        docs/methods/gan3d_sr_denoise.md, "Critics"; Haar, 1910.
    """
    x = pad_to_even(volume)
    for axis in (2, 3, 4):
        # The pair of this axis becomes a new first axis: 2 (low, high) times those before.
        low, high = torch.unflatten(x, axis, [x.shape[axis] // 2, 2]).unbind(axis + 1)
        x = torch.stack([low + high, low - high], 1).flatten(0, 1)
    # Batch axis: (B, z, y, x); the three roots of 2 at once.
    bands: Tensor = 0.125**0.5 * torch.unflatten(x, 0, [volume.shape[0], 8])
    return bands


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
        self.low = nn.Conv3d(channels, low_channels, 1)
        self.high = nn.Conv3d(channels if self.summed else 7 * channels, high_channels, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return low- and high-frequency features."""
        if self.summed:
            x = pad_to_even(x)
            # LLL is the sum of eight voxels over root 8, that is root 8 times their mean.
            lowest = F.avg_pool3d(x, 2) * 8**0.5
            rest = x[:, :, ::2, ::2, ::2] * 8**0.5 - lowest
        else:
            bands = haar_bands(x)
            lowest = bands[:, 0]
            rest = bands[:, 1:].flatten(1, 2)
        return self.low(lowest), self.high(rest)
