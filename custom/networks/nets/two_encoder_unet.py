"""A conditional diffusion's network: an encoder each for condition and state, and a U-Net."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from monai.networks.blocks import ResidualUnit
from torch import Tensor, nn

from custom.networks.nets.time_conditioned_unet import TimeConditionedUNet

__all__ = ["TwoEncoderUNet"]


class TwoEncoderUNet(nn.Module):
    r"""Predict from an image on a diffusion path and the degraded image that it belongs to.

    .. math:: \hat{e} = U\left(E_\phi(y) + E_\psi(x_t);\, t / T\right)

    The degraded image ``y`` does not change along the path: a sampler calls :meth:`encode` once
    and gives the code to every step. Encoders are residual blocks on the full grid, without
    normalisation, so that they know the brightness. Untrained, the prediction is 0.

    Args:
        encoder_features: Features of each residual block; ten of growing width in the source.
        features: Of the U-Net, as for
            :class:`~custom.networks.nets.time_conditioned_unet.TimeConditionedUNet`.
        num_slices: Channels of the degraded image.

    Shape:
        ``x``: ``(B, 1 + num_slices, H, W)``, ``x_t`` first, any size; ``position``: ``(B,)``, 0 at
        the clean image to 1; ``code``: as :meth:`encode` makes it. Output: ``(B, 1, H, W)``.

    Raises:
        ValueError: If there are no or impossible features, or ``num_slices`` is below 1.

    Source:
        docs/methods/motion_cdm.md, "Networks"; Q. Wang 2026, section 10.3. Widths are ours, and
        the U-Net, which lacks the attention of the source's (Karras et al., NeurIPS 2022).
    """

    def __init__(
        self,
        encoder_features: Sequence[int] = (8, 8, 12, 12, 16, 16, 24, 24, 32, 32),
        features: Sequence[int] = (32, 64, 128, 256),
        num_slices: int = 1,
    ) -> None:
        super().__init__()
        if not encoder_features or min(encoder_features) < 1:
            raise ValueError(
                f"encoder_features must be positive numbers, got {tuple(encoder_features)}"
            )
        if num_slices < 1:
            raise ValueError(f"num_slices must be at least 1, got {num_slices}")
        self.of_condition = _encoder(num_slices, encoder_features)
        self.of_state = _encoder(1, encoder_features)
        self.unet = TimeConditionedUNet(features, in_channels=encoder_features[-1])

    @torch.jit.export
    def encode(self, condition: Tensor) -> Tensor:
        """Return the code of degraded images, ``(B, num_slices, H, W)``, for all steps."""
        code: Tensor = self.of_condition(condition)
        return code

    def forward(self, x: Tensor, position: Tensor, code: Tensor | None = None) -> Tensor:
        """Predict for a batch of slices; with ``code`` the degraded images are not encoded."""
        if code is None:
            code = self.encode(x[:, 1:])
        prediction: Tensor = self.unet(self.of_state(x[:, :1]) + code, position)
        return prediction


def _encoder(in_channels: int, features: Sequence[int]) -> nn.Sequential:
    """Return residual blocks that keep the grid."""
    return nn.Sequential(
        *(
            ResidualUnit(2, inputs, outputs, norm=None, act="relu")
            for inputs, outputs in pairwise([in_channels, *features])
        )
    )
