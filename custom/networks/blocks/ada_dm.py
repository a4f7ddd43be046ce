"""Residual blocks that give their result the spread which normalisation took from their input."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["AdaDM", "NormalisedResidualBlock"]

_LEAST = 1e-6  # of a deviation: a constant input has a finite logarithm


class AdaDM(nn.Module):
    r"""Scale features by a learned power of the deviation of the block's input.

    .. math:: h \exp(w \log \operatorname{std}(x) + b)

    with the population deviation of each sample over channels and voxels. With ``w = 1`` and
    ``b = 0``, its start, features are in the units of the input again.

    Shape:
        ``x``: ``(B, C, *spatial)``; ``h``: ``(B, D, *spatial)``; output as ``h``.

    Source:
        J. Liu, J. Tang, G. Wu, "AdaDM: Enabling normalization for image super-resolution", 2021;
        docs/methods/brain_3t7t_sr.md, "Network".
    """

    def __init__(self) -> None:
        super().__init__()
        self.least = _LEAST
        self.weight = nn.Parameter(torch.ones(1))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        """Scale the features ``h`` of an input ``x``."""
        deviation = x.flatten(1).std(1, correction=0).clamp(min=self.least)
        gain = torch.exp(self.weight * deviation.log() + self.bias)
        return h * gain.view([len(h)] + [1] * (h.ndim - 1))


class NormalisedResidualBlock(nn.Module):
    """Twice GroupNorm, SiLU and a 3 x 3 convolution, then :class:`AdaDM`, plus the input.

    Args:
        in_channels: Channels of the input; where they differ from ``out_channels``, a 1 x 1
            convolution makes them equal.
        out_channels: Channels of the output.
        groups: Of the normalisation; both numbers of channels must be a multiple of it.
        adadm: False: features are added as they are.

    Shape:
        ``(B, in_channels, H, W)``; output ``(B, out_channels, H, W)``.

    Source:
        docs/methods/brain_3t7t_sr.md, "Network".
    """

    def __init__(
        self, in_channels: int, out_channels: int, groups: int, adadm: bool = True
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(groups, in_channels),
            nn.SiLU(),
            nn.Conv2d(in_channels, out_channels, 3, padding=1),
            nn.GroupNorm(groups, out_channels),
            nn.SiLU(),
            nn.Conv2d(out_channels, out_channels, 3, padding=1),
        )
        same = in_channels == out_channels
        self.skip = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, 1)
        self.adadm = AdaDM() if adadm else None

    def forward(self, x: Tensor) -> Tensor:
        """Compute the features of a batch."""
        features = self.layers(x)
        if self.adadm is not None:
            features = self.adadm(x, features)
        made: Tensor = self.skip(x) + features
        return made
