"""A U-Net that restores a slice from its acquired grid, and knows how noisy the slice is."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.utils import pixelshuffle
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from custom.networks.nets.noise_level_unet import bias_free_unet
from custom.physics.intensity_statistics import OUTLIER
from custom.physics.noise_level import slice_noise_level, slice_noise_table
from custom.setting_checks import check_whole

__all__ = ["FastScanUNet"]

# Edges and noise are a fraction of the brightness. A network that sees both alike spends its first
# hundreds of steps on telling them apart.
_DETAIL = 5.0


class FastScanUNet(nn.Module):
    r"""Add to the bicubic interpolation of a slice what a U-Net says on the acquired grid.

    .. math:: y = B(c) + P\left(U(d (c - m), m, d \sigma) / d\right)

    ``c`` is the acquired slice, which the input repeats; ``m`` the mean of 3 x 3 voxels; ``sigma``
    the noise level that :func:`custom.physics.noise_level.slice_noise_level` finds in it; ``d`` is
    5; ``P`` spreads ``scale^2`` channels over the fine voxels. So the U-Net computes on a quarter
    of the voxels, and the untrained network is bicubic interpolation. No convolution adds a
    constant, hence :math:`y(a x) = a\, y(x)` for :math:`a > 0`.

    Slices are divided by the median of their tissue; the U-Net sees magnitudes up to five times it.

    Args:
        features: As for :class:`~custom.networks.nets.restoration_unet.RestorationUNet`.
        scale: Fine voxels for one acquired voxel, along each axis.
        knows_level: Whether the U-Net sees ``sigma``.

    Shape:
        Input: ``(B, 1, scale H, scale W)``, a slice whose voxels were repeated ``scale`` times
        along both axes; output: the same.

    Raises:
        ValueError: If ``scale`` is no whole number of at least 1, or the U-Net refuses
            ``features``.

    Source:
        Shi et al., "Real-time single image and video super-resolution using an efficient sub-pixel
        convolutional neural network", CVPR 2016; for the rest see
        :class:`~custom.networks.nets.noise_level_unet.NoiseLevelUNet`.
    """

    def __init__(
        self, features: Sequence[int] = (24, 48, 96), scale: int = 2, knows_level: bool = True
    ) -> None:
        super().__init__()
        check_whole("scale", scale, 1)
        self.scale, self.knows_level = scale, knows_level
        self.detail, self.brightest = _DETAIL, OUTLIER
        # Plain numbers: TorchScript would store a buffer among the weights.
        self.bright, self.expected = slice_noise_table()
        self.unet = bias_free_unet(features, 3 if knows_level else 2, scale**2, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Restore a batch of slices."""
        coarse = avg_pool2d(x, self.scale)
        # Of first degree, the U-Net would spread a hot voxel as far as it sees.
        calm = coarse.clamp(0.0, self.brightest)
        mean = avg_pool2d(calm, 3, 1, 1, count_include_pad=False)
        seen = [self.detail * (calm - mean), mean]
        if self.knows_level:
            bright = torch.tensor(self.bright, device=x.device)
            expected = torch.tensor(self.expected, device=x.device)
            level = slice_noise_level(calm, bright, expected).to(coarse)
            seen.append((self.detail * level)[:, None, None, None].expand_as(coarse))
        change = pixelshuffle(self.unet(torch.cat(seen, dim=1)), 2, self.scale) / self.detail
        # antialias: Keys' kernel, see custom.transforms.upsample_in_plane.
        plain: Tensor = interpolate(
            coarse, x.shape[2:], mode="bicubic", align_corners=False, antialias=True
        )
        return plain + change
