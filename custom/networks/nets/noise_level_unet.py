"""The restoration U-Net as a denoiser that is told the noise level of every voxel."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool3d

from custom.networks.blocks.dct_shrinkage import DctShrinkage
from custom.networks.nets.restoration_unet import RestorationUNet
from custom.setting_checks import check_above_zero

__all__ = ["NoiseLevelUNet", "bias_free_unet"]

# Noise is some percent of the brightness. A network that sees both alike spends its first hundreds
# of steps on telling them apart.
_DETAIL = 20.0


def bias_free_unet(
    features: Sequence[int], in_channels: int, out_channels: int, spatial_dims: int
) -> RestorationUNet:
    """Return a U-Net of first degree, ``U(a x) = a U(x)`` for ``a > 0``, that starts as 0."""
    unet = RestorationUNet(
        features,
        down="mean",
        residual=False,
        in_channels=in_channels,
        out_channels=out_channels,
        spatial_dims=spatial_dims,
    )
    for layer in unet.modules():
        if isinstance(layer, (nn.Conv2d, nn.Conv3d)):
            layer.register_parameter("bias", None)
            # PyTorch's own variance is a sixth of this: features fade from layer to layer.
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(unet.head.weight)
    return unet


class NoiseLevelUNet(nn.Module):
    r"""Shrink a volume's cosine transforms, add what a U-Net says, stay within some noise levels.

    .. math:: y = x + \operatorname{clip}(s - x + U(d (x - s), d (s - m), d \sigma, m) / d,
        -k \sigma, k \sigma)

    with the result ``s`` of :class:`~custom.networks.blocks.dct_shrinkage.DctShrinkage`, its mean
    ``m`` over the 3 x 3 x 3 voxels around, and ``d`` = 20. The shrinkage has nothing to learn: few
    steps of training suffice, and the untrained network returns ``s``. What lies further from its
    surroundings than noise does cannot be taken away, and where the level is 0 the volume returns
    as it is. No convolution adds a constant, so the network is of first degree:
    :math:`y(a x, a \sigma) = a\, y(x, \sigma)` for :math:`a > 0`; one that is not fails at levels
    that it was not trained at.

    Args:
        features: As for :class:`~custom.networks.nets.restoration_unet.RestorationUNet`. Grids are
            halved by means and doubled by interpolation, which leaves no lattice.
        reach: ``k``. Of normal noise one voxel in 16 000 is beyond 4.

    Shape:
        Input: ``(B, 2, D, H, W)``, the volume and its noise level, in one unit; output:
        ``(B, 1, D, H, W)``.

    Raises:
        ValueError: If ``reach`` is not positive, or ``features`` are refused by the U-Net.

    Source:
        Mohan, Kadkhodaie, Simoncelli, Fernandez-Granda, "Robust and interpretable blind image
        denoising via bias-free convolutional neural networks", ICLR 2020; the level as a channel
        of the input as in Zhang, Zuo, Zhang, "FFDNet", IEEE Trans Image Process 27 (2018), 4608.
    """

    def __init__(self, features: Sequence[int] = (16, 32, 64), reach: float = 4.0) -> None:
        super().__init__()
        check_above_zero("reach", reach)
        self.reach, self.detail = float(reach), _DETAIL
        self.shrinkage = DctShrinkage()
        self.unet = bias_free_unet(features, 4, 1, 3)  # untrained: the shrinkage alone

    def forward(self, x: Tensor) -> Tensor:
        """Denoise a batch of volumes."""
        volume, level = x[:, :1], x[:, 1:]
        shrunk = self.shrinkage(volume, level)
        mean = avg_pool3d(shrunk, 3, 1, 1, count_include_pad=False)
        small = self.detail * torch.cat([volume - shrunk, shrunk - mean, level], dim=1)
        learnt = self.unet(torch.cat([small, mean], dim=1)) / self.detail
        change = shrunk - volume + learnt
        limit = self.reach * level
        return volume + torch.minimum(torch.maximum(change, -limit), limit)
