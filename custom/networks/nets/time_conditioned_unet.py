"""The restoration U-Net, conditioned on the position of its input on a diffusion path."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from custom.networks.blocks.position_embedding import PositionEmbedding
from custom.networks.nets.restoration_unet import Activation, Down, RestorationUNet, Up

__all__ = ["TimeConditionedUNet"]


class TimeConditionedUNet(nn.Module):
    r"""A U-Net whose features are scaled and shifted at every level by the position on the path.

    .. math:: y \leftarrow g(p)\, y + b(p)

    per channel, after the two convolutions of each level of encoder and decoder; gain and shift
    are linear in the embedding of the position, and start at 1 and 0. The last convolution starts
    at zero: the untrained network returns zeros, that is, no correction.

    Args:
        features: As for :class:`~custom.networks.nets.restoration_unet.RestorationUNet`, whose
            blocks these are; so are the next four.
        features_skip: Features that each level but the last hands to the decoder.
        down: How the grid is halved.
        up: How the grid is doubled.
        activation: Between the convolutions.
        embedding: Features of the embedded position; even.
        in_channels: Channels of the image on the path.
        out_channels: Channels of the prediction.
        spatial_dims: 2 or 3; ``bicubic`` needs 2.

    Shape:
        ``x``: ``(B, in_channels, *spatial)``, any size; ``position``: ``(B,)`` or ``(B, 1)``, 0 at
        the clean image to 1 at the scan; output ``(B, out_channels, *spatial)``.

    Raises:
        ValueError: If an argument is not one of the above.

    Source:
        docs/methods/micro_mri_denoise.md, "Anchored path diffusion"; Conejo Rupp et al. 2025,
        section 4.3. How the source conditions on time is not stated: scale and shift are ours.
    """

    def __init__(
        self,
        features: Sequence[int] = (16, 32, 64),
        features_skip: Sequence[int] | None = None,
        down: Down = "max",
        up: Up = "bilinear",
        activation: Activation = "relu",
        embedding: int = 64,
        in_channels: int = 1,
        out_channels: int = 1,
        spatial_dims: int = 2,
    ) -> None:
        super().__init__()
        if embedding < 2 or embedding % 2:
            raise ValueError(f"embedding must be a positive even number, got {embedding}")
        # Not residual: the scheduler takes the prediction off, by its parameterisation.
        self.unet = RestorationUNet(
            features,
            features_skip,
            down,
            up,
            activation,
            residual=False,
            in_channels=in_channels,
            out_channels=out_channels,
            spatial_dims=spatial_dims,
        )
        self.embedding = PositionEmbedding(embedding)
        # In the order of execution: down to the coarsest level, and up to the finest again.
        levels = [*features, *list(features)[-2::-1]]
        self.modulations = nn.ModuleList(_modulation(embedding, level) for level in levels)
        self.ones = [1] * spatial_dims
        nn.init.zeros_(self.unet.head.weight)
        nn.init.zeros_(self.unet.head.bias)

    def forward(self, x: Tensor, position: Tensor) -> Tensor:
        """Predict for a batch of images on the path."""
        embedded = self.embedding(position)
        modulation: list[Tensor] = []
        for layer in self.modulations:
            gain_and_shift = layer(embedded).unflatten(1, (2, -1)).transpose(0, 1)
            modulation.append(gain_and_shift.reshape(list(gain_and_shift.shape) + self.ones))
        prediction: Tensor = self.unet.modulated(x, modulation)
        return prediction


def _modulation(embedding: int, features: int) -> nn.Linear:
    """Return a layer whose outputs start as gains of 1 and shifts of 0."""
    layer = nn.Linear(embedding, 2 * features)
    nn.init.zeros_(layer.weight)
    with torch.no_grad():
        layer.bias.copy_(torch.arange(2 * features) < features)
    return layer
