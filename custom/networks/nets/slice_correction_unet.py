"""A U-Net that takes artefacts off slices, and says how far it may be off."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, pad, pixel_shuffle, pixel_unshuffle

from custom.networks.initialisation import kaiming_init
from custom.networks.nets.restoration_unet import RestorationUNet
from custom.networks.nets.time_conditioned_unet import TimeConditionedUNet
from custom.setting_checks import check_whole

__all__ = ["SliceCorrectionUNet"]

# Artefacts are some percent of the brightness; the network sees them as large as the image.
_DETAIL = 5.0
_START = math.log(0.05)  # of the logarithm of the deviation, in units of the image


class SliceCorrectionUNet(nn.Module):
    r"""Predict what a degraded slice has too much, from it, its neighbours and a position.

    .. math:: r = P\left(U(d (x_t - m), d (y_k - m), m; p)\right) / d, \qquad
        \log s = P\left(V(d (y - m), m, d r)\right) + \log 0.05

    with the image ``x_t`` on a diffusion path, the degraded slices ``y_k`` of which ``y`` is the
    middle one, its mean ``m`` over 3 x 3 voxels, and ``d`` = 5. Both U-Nets compute on blocks of
    ``block x block`` voxels, whose voxels are channels, and ``P`` spreads them again: artefacts of
    motion reach across the whole slice, and a coarse grid sees far at little cost. ``V`` sees
    ``r`` detached: what trains ``s`` leaves ``r`` alone. Nothing is normalised over the slice.

    Untrained, ``r`` is 0. It is to be taken off ``y`` (prediction ``residual`` of
    :class:`~custom.networks.schedulers.gaussian_path.GaussianPath`).

    Args:
        features: Of ``U``, as for :class:`~custom.networks.nets.restoration_unet.RestorationUNet`.
        deviation_features: Of ``V``; None: no deviation.
        num_slices: Degraded slices, odd; 0: the network sees ``x_t`` alone, as ``y``.
        block: Edge of a block in voxels.

    Shape:
        ``x``: ``(B, 1 + num_slices, H, W)``, ``x_t`` first, any size; ``position``: ``(B,)``, 0 at
        the clean image to 1. Output: ``(B, 2, H, W)``, ``r`` and ``log s``; or ``r`` alone.

    Raises:
        ValueError: If ``num_slices`` is even and not 0, ``block`` is no whole number of at least 1,
            or a U-Net refuses its features.

    Source:
        Shi et al., "Real-time single image and video super-resolution using an efficient sub-pixel
        convolutional neural network", CVPR 2016 (blocks); docs/methods/motion_cdm.md, "Networks".
    """

    def __init__(
        self,
        features: Sequence[int] = (64, 96, 128, 192),
        deviation_features: Sequence[int] | None = (32, 48),
        num_slices: int = 3,
        block: int = 4,
    ) -> None:
        super().__init__()
        check_whole("block", block, 1)
        check_whole("num_slices", num_slices, 0)
        if num_slices > 0 and num_slices % 2 == 0:
            raise ValueError(f"num_slices must be odd, or 0, got {num_slices}")
        self.detail, self.start, self.block = _DETAIL, _START, block
        self.middle = 1 + num_slices // 2 if num_slices else 0
        voxels = block * block
        self.unet = TimeConditionedUNet(
            features, down="mean", in_channels=(2 + num_slices) * voxels, out_channels=voxels
        )
        parts = [self.unet.unet]
        self.deviation: nn.Module | None = None
        if deviation_features is not None:
            self.deviation = RestorationUNet(
                deviation_features,
                down="mean",
                residual=False,
                in_channels=3 * voxels,
                out_channels=voxels,
            )
            parts.append(self.deviation)
        for part in parts:
            kaiming_init(part, negative_slope=0.0)
            nn.init.zeros_(part.head.weight)

    def forward(self, x: Tensor, position: Tensor) -> Tensor:
        """Predict for a batch of slices."""
        h, w = x.shape[2], x.shape[3]
        whole = pad(x, [0, -w % self.block, 0, -h % self.block], mode="replicate")
        degraded = whole[:, self.middle : self.middle + 1]
        mean = avg_pool2d(degraded, 3, 1, 1, count_include_pad=False)
        seen = torch.cat([self.detail * (whole - mean), mean], dim=1)
        made = pixel_shuffle(self.unet(pixel_unshuffle(seen, self.block), position), self.block)
        made = made / self.detail
        if self.deviation is not None:
            known = [self.detail * (degraded - mean), mean, self.detail * made.detach()]
            spread = self.deviation(pixel_unshuffle(torch.cat(known, dim=1), self.block))
            made = torch.cat([made, pixel_shuffle(spread, self.block) + self.start], dim=1)
        return made[:, :, :h, :w]
