"""Feature extractor of the three-player GAN: the layers of a ResNet-10."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from monai.networks.layers.utils import get_norm_layer
from monai.networks.nets.resnet import ResNetBlock
from torch import Tensor, nn

from custom.networks.initialisation import kaiming_init

__all__ = ["FeatureExtractor"]


class FeatureExtractor(nn.Module):
    """Layers of a ResNet-10 before its linear layer, untrained, as a map of features.

    Convolution of size 7 and stride 2, normalisation, ReLU, max pooling of size 3 and stride 2, and
    four of MONAI's residual blocks. MONAI's own ``resnet10`` pools the map to one value, and uses
    batch normalisation in its blocks whatever ``norm`` it is given.

    Args:
        widths: Channels of the four blocks.
        strides: Strides of the four blocks. ResNet-10 has ``(1, 2, 2, 2)``; two strides less keep,
            as the published code does, a map of 8 voxels a side for patches of 64.
        norm: MONAI's name of the normalisation, or name and arguments. InstanceNorm by default: at
            batch size 1 batch normalisation in training is the same, and its running statistics
            would mix restored and reference volumes.

    Shape:
        Input: ``(B, 1, D, H, W)``; output: ``(B, widths[-1], d, h, w)``, with ``d`` an eighth of
        ``D``, rounded up, at the default strides.

    Raises:
        ValueError: If there are not four widths and strides; on a volume whose map would be a
            single voxel, which InstanceNorm cannot normalise.

    Source:
        docs/methods/gan3d_sr_denoise.md, "Feature extractor".
    """

    def __init__(
        self,
        widths: Sequence[int] = (64, 128, 256, 512),
        strides: Sequence[int] = (1, 2, 1, 1),
        norm: str | tuple[str, dict[str, Any]] = ("instance", {"affine": True}),
    ) -> None:
        super().__init__()
        if len(widths) != 4 or len(strides) != 4 or min(*widths, *strides) < 1:
            raise ValueError(
                "widths and strides must be four numbers of at least 1, "
                f"got {tuple(widths)} and {tuple(strides)}"
            )
        # Stem and pooling halve twice; up to this size the map would be a single voxel.
        self.largest_refused = 4 * math.prod(strides)
        # Convolutions have no bias: the normalisation would take it off again.
        self.stem = nn.Sequential(
            nn.Conv3d(1, widths[0], 7, stride=2, padding=3, bias=False),
            get_norm_layer(norm, spatial_dims=3, channels=widths[0]),
            nn.ReLU(inplace=True),
            nn.MaxPool3d(3, stride=2, padding=1),
        )
        inputs = [widths[0], *widths[:-1]]
        self.blocks = nn.Sequential(
            *(_block(*sizes, norm=norm) for sizes in zip(inputs, widths, strides, strict=True))
        )
        # Slope 0: activations are ReLU here.
        kaiming_init(self, negative_slope=0.0)

    def forward(self, x: Tensor) -> Tensor:
        """Return the map of features."""
        # One longer axis is enough: InstanceNorm needs two voxels, wherever they lie.
        if max(x.shape[2], x.shape[3], x.shape[4]) <= self.largest_refused:
            raise ValueError(
                f"the extractor needs an axis of more than {self.largest_refused} voxels, "
                f"got {list(x.shape)}"
            )
        features: Tensor = self.blocks(self.stem(x))
        return features


def _block(
    inputs: int, outputs: int, stride: int, norm: str | tuple[str, dict[str, Any]]
) -> ResNetBlock:
    """Return a residual block, with a convolution of size 1 where the shape changes."""
    shortcut = None
    if stride != 1 or inputs != outputs:
        shortcut = nn.Sequential(
            nn.Conv3d(inputs, outputs, 1, stride=stride, bias=False),
            get_norm_layer(norm, spatial_dims=3, channels=outputs),
        )
    return ResNetBlock(inputs, outputs, 3, stride, shortcut, norm=norm)
