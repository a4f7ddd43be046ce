"""Orthonormal Haar wavelet transform of volumes, one level."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["HaarWavelet3d", "pad_to_even"]


def pad_to_even(volume: Tensor) -> Tensor:
    """Return a volume ``(B, C, D, H, W)`` with the last plane of each odd axis repeated."""
    odd = [volume.shape[2] % 2, volume.shape[3] % 2, volume.shape[4] % 2]
    if odd == [0, 0, 0]:
        return volume
    return F.pad(volume, [0, odd[2], 0, odd[1], 0, odd[0]], mode="replicate")


class HaarWavelet3d(nn.Module):
    r"""Haar wavelet transform: eight sub-bands of half the size, and its inverse.

    Along each axis neighbours ``a, b`` at positions ``2i, 2i + 1`` become

    .. math:: l = (a + b) / \sqrt 2, \quad h = (a - b) / \sqrt 2

    Band ``4 z + 2 y + x`` is high along the first spatial axis if ``z`` is 1, along the second if
    ``y`` is, along the third if ``x`` is: ``LLL, LLH, LHL, LHH, HLL, HLH, HHL, HHH`` with letters
    in the order of the axes, in PyWavelets' names ``aaa, aad, ..., ddd`` with the same signs. The
    transform keeps the sum of squares of even-sized volumes. An odd axis is made even by repeating
    its last plane, which the inverse takes off.

    Shape:
        Volume: ``(B, C, D, H, W)``; bands: ``(B, 8, C, ceil(D/2), ceil(H/2), ceil(W/2))``.

    Source:
        docs/methods/gan3d_sr_denoise.md, "Critics"; Haar, 1910.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gain: float = 0.125**0.5

    def forward(self, volume: Tensor) -> Tensor:
        """Return the bands of a volume."""
        x = pad_to_even(volume)
        for axis in (2, 3, 4):
            # The pair of this axis becomes a new first axis: 2 (low, high) times those before.
            low, high = torch.unflatten(x, axis, [x.shape[axis] // 2, 2]).unbind(axis + 1)
            x = torch.stack([low + high, low - high], 1).flatten(0, 1)
        # Batch axis: (B, z, y, x); the three roots of 2 at once.
        return self.gain * torch.unflatten(x, 0, [volume.shape[0], 8])

    def inverse(self, bands: Tensor, size: list[int]) -> Tensor:
        """Return the volume of bands.

        Args:
            bands: Output of ``forward``.
            size: ``[D, H, W]`` of the volume; half of it, rounded up, is the size of the bands.

        Raises:
            ValueError: If there are not eight bands, or their size does not fit.
        """
        halves = [(count + 1) // 2 for count in size]
        if bands.dim() != 6 or bands.shape[1] != 8 or list(bands.shape[3:]) != halves:
            raise ValueError(
                f"bands of a volume of {size} must be (B, 8, C, {halves}), got {list(bands.shape)}"
            )
        x = bands.flatten(0, 1)
        for axis in (4, 3, 2):
            low, high = torch.unflatten(x, 0, [x.shape[0] // 2, 2]).unbind(1)
            x = torch.stack([low + high, low - high], axis + 1).flatten(axis, axis + 1)
        x = x[:, :, : size[0], : size[1], : size[2]]
        return self.gain * x
