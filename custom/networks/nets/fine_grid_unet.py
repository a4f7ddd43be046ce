"""A U-Net that improves what classical super-resolution gives, on the fine grid."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.utils import pixelshuffle
from torch import Tensor, nn
from torch.nn.functional import avg_pool3d, pad

from custom.networks.nets.restoration_unet import RestorationUNet

__all__ = ["FineGridUNet"]

# Noise and what a coarse grid loses are some percent of the brightness; the network sees them as 1.
_DETAIL = 20.0
_BRIGHTEST = 6.0  # mean foregrounds: what is beyond is no tissue, and must not count far from it


class FineGridUNet(nn.Module):
    r"""Correct a volume that was brought to the fine grid, told how it was acquired.

    .. math:: y = x + U(d (x - m), m, d (z - x), d \sigma, t) / d

    with the classical start ``x`` (:mod:`custom.physics.deconvolution`), its mean ``m`` of 3 x 3 x
    3 voxels, the zero-filled volume ``z``, the noise level, and ``t``, 1 where the operator is
    known. ``d`` = 20. The U-Net works on blocks of 2 x 2 x 2 voxels, whose voxels are channels:
    as much as a coarse grid costs, whatever the factor of each axis. Hot voxels stay, and are seen
    as six times the mean foreground. The untrained network returns its start.

    Args:
        features: As for :class:`~custom.networks.nets.restoration_unet.RestorationUNet`.

    Shape:
        Input: ``(B, 4, D, H, W)``: ``x``, ``z``, the level and ``t``; output: ``(B, 1, D, H, W)``.

    Raises:
        ValueError: If ``features`` are refused by the U-Net.

    Source:
        Blocks as channels: Zhang, Zuo, Zhang, "FFDNet", IEEE Trans Image Process 27 (2018), 4608.
    """

    def __init__(self, features: Sequence[int] = (32, 64, 96)) -> None:
        super().__init__()
        self.detail, self.brightest = _DETAIL, _BRIGHTEST
        self.unet = RestorationUNet(
            features, down="mean", residual=False, in_channels=19, out_channels=8, spatial_dims=3
        )
        for layer in self.unet.modules():
            if isinstance(layer, nn.Conv3d):
                # PyTorch's own variance is a sixth of this: features fade from layer to layer.
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(self.unet.head.weight)
        nn.init.zeros_(self.unet.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Correct a batch of volumes."""
        d, h, w = x.shape[2], x.shape[3], x.shape[4]
        even = pad(x, [0, w % 2, 0, h % 2, 0, d % 2], mode="replicate")
        volumes = even[:, :2].clamp(-self.brightest, self.brightest)
        start = volumes[:, :1]
        mean = avg_pool3d(start, 3, 1, 1, count_include_pad=False)
        seen = [
            _blocks(self.detail * (start - mean)),
            _blocks(self.detail * (volumes[:, 1:] - start)),
            avg_pool3d(mean, 2),
            avg_pool3d(self.detail * even[:, 2:3], 2),
            avg_pool3d(even[:, 3:], 2),
        ]
        change = pixelshuffle(self.unet(torch.cat(seen, dim=1)) / self.detail, 3, 2)
        return x[:, :1] + change[:, :, :d, :h, :w]


def _blocks(x: Tensor) -> Tensor:
    """Return the voxels of each block of 2 x 2 x 2 as channels, ``(B, 8, D/2, H/2, W/2)``."""
    b, _, d, h, w = x.shape
    parts = x.reshape(b, d // 2, 2, h // 2, 2, w // 2, 2)
    return parts.permute(0, 2, 4, 6, 1, 3, 5).reshape(b, 8, d // 2, h // 2, w // 2)
