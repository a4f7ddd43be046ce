"""U-Net for slices, with every option that the micro-MRI paper searched over."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
from monai.networks.blocks import Convolution, UpSample
from monai.networks.layers.factories import Conv, Pool
from monai.networks.nets.basic_unet import TwoConv
from torch import Tensor, nn
from torch.nn.functional import pad

__all__ = ["Activation", "Down", "RestorationUNet", "Up"]

Down = Literal["max", "mean", "strided"]
Up = Literal["nearest", "bilinear", "bicubic", "transposed"]
Activation = Literal["relu", "leakyrelu", "elu", "prelu"]
Act = tuple[str, dict[str, Any]]

_DOWN = ("max", "mean", "strided")
_UP = ("nearest", "bilinear", "bicubic", "transposed")
# In place, which saves a third of the memory: nothing else needs the input of an activation.
_ACTIVATIONS: dict[str, Act] = {
    "relu": ("relu", {"inplace": True}),
    "leakyrelu": ("leakyrelu", {"inplace": True}),
    "elu": ("elu", {"inplace": True}),
    "prelu": ("prelu", {}),
}


class RestorationUNet(nn.Module):
    """Encoder and decoder with skip connections, for images of any size.

    A level is two 3x3 convolutions, each with the activation. Going down halves the grid, going up
    doubles it and brings the features to the width of the level above, where the skip features
    are joined to them; a 1x1 convolution ends the network. Sizes that the deepest level cannot
    divide are padded by repeating the border and cropped back.

    Args:
        features: Features of each level, from the finest to the coarsest; two levels or more.
        features_skip: Features that each level but the last hands to the decoder. Where they
            differ from the level's own, a 1x1 convolution makes them. Default: ``features[:-1]``.
        down: Maximum or mean of each 2x2 block, or a 3x3 convolution with stride 2.
        up: Interpolation after a 1x1 convolution, or a 2x2 transposed convolution.
        activation: Between the convolutions.
        residual: Whether the network predicts target minus input. Its last convolution then
            starts at zero, so that the untrained network returns its input.
        in_channels: Channels of the degraded image.
        out_channels: Channels of the restored image; ``in_channels`` when ``residual``.
        spatial_dims: 2 or 3; ``bicubic`` needs 2.
        norm: A MONAI normalisation, for example ``"instance"``. The source has none.

    Shape:
        Input ``(B, in_channels, *spatial)``, output ``(B, out_channels, *spatial)``.

    Raises:
        ValueError: If an argument is not one of the above.

    Source:
        docs/methods/micro_mri_denoise.md, "U-Net"; Conejo Rupp et al. 2025, sections 4.1 and 4.2.
    """

    def __init__(
        self,
        features: Sequence[int] = (32, 64, 128),
        features_skip: Sequence[int] | None = None,
        down: Down = "max",
        up: Up = "bilinear",
        activation: Activation = "relu",
        residual: bool = True,
        in_channels: int = 1,
        out_channels: int = 1,
        spatial_dims: int = 2,
        norm: str | None = None,
    ) -> None:
        super().__init__()
        skips = list(features[:-1] if features_skip is None else features_skip)
        _check(features, skips, down, up, activation, spatial_dims)
        if residual and in_channels != out_channels:
            raise ValueError(f"out_channels must be in_channels if residual, got {out_channels}")
        act = _ACTIVATIONS[activation]
        self.residual = residual
        self.divisor = 2 ** (len(features) - 1)

        def two_convolutions(inputs: int, outputs: int) -> nn.Module:
            # An empty name is MONAI's for no normalisation.
            return TwoConv(spatial_dims, inputs, outputs, act, norm or "", bias=True)

        # The decoder is listed from the coarsest level up, in the order of its execution.
        pairs = list(pairwise(features))
        upward = list(zip(pairs, skips, strict=True))[::-1]
        self.stem = two_convolutions(in_channels, features[0])
        self.downs = nn.ModuleList(_down(spatial_dims, fine, down) for fine, _ in pairs)
        self.encoder = nn.ModuleList(two_convolutions(fine, coarse) for fine, coarse in pairs)
        self.skips = nn.ModuleList(_skip(spatial_dims, fine, skip) for (fine, _), skip in upward)
        self.ups = nn.ModuleList(
            _up(spatial_dims, coarse, fine, up) for (fine, coarse), _ in upward
        )
        self.decoder = nn.ModuleList(
            two_convolutions(skip + fine, fine) for (fine, _), skip in upward
        )
        self.head = Conv[Conv.CONV, spatial_dims](features[0], out_channels, kernel_size=1)
        if residual:
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Restore a batch of images."""
        return self.modulated(x, [])

    def modulated(self, x: Tensor, modulation: list[Tensor]) -> Tensor:
        """Restore a batch of images, with the features of each level scaled and shifted.

        Args:
            x: The images.
            modulation: Gain and shift of the features of each level, in the order of execution.
                Empty: none.

        Shape:
            ``modulation``: ``(2, B, features, 1, ...)`` each, gain and shift.
        """
        sizes = x.shape[2:]
        padding: list[int] = []
        for axis in range(len(sizes) - 1, -1, -1):
            padding += [0, -sizes[axis] % self.divisor]
        # Replicated: zeros would put an artificial edge into the image.
        grown = pad(x, padding, mode="replicate") if sum(padding) > 0 else x
        y = self._predict(grown, list(modulation))
        for axis, size in enumerate(sizes):
            y = y.narrow(axis + 2, 0, size)
        return x + y if self.residual else y

    def _predict(self, x: Tensor, modulation: list[Tensor]) -> Tensor:
        """Run encoder and decoder on a grid that every level divides; ``modulation`` is used up."""
        y = _modulate(self.stem(x), modulation)
        kept: list[Tensor] = []
        for down, level in zip(self.downs, self.encoder):  # noqa: B905 (not in TorchScript)
            kept.append(y)
            y = _modulate(level(down(y)), modulation)
        for up, skip, level in zip(self.ups, self.skips, self.decoder):  # noqa: B905
            y = _modulate(level(torch.cat([skip(kept.pop()), up(y)], dim=1)), modulation)
        restored: Tensor = self.head(y)
        return restored


def _modulate(y: Tensor, modulation: list[Tensor]) -> Tensor:
    """Scale and shift features by the first entry of a list, if any, and take it off."""
    if len(modulation) == 0:
        return y
    gain, shift = modulation.pop(0).unbind(0)
    return torch.addcmul(shift, y, gain)


def _check(
    features: Sequence[int],
    skips: Sequence[int],
    down: str,
    up: str,
    activation: str,
    spatial_dims: int,
) -> None:
    """Refuse invalid arguments."""
    if len(features) < 2 or min(features) < 1:
        raise ValueError(f"features must be two or more positive numbers, got {tuple(features)}")
    if len(skips) != len(features) - 1 or min(skips) < 1:
        raise ValueError(
            f"features_skip must be {len(features) - 1} positive numbers, got {tuple(skips)}"
        )
    for name, value, allowed in (
        ("down", down, _DOWN),
        ("up", up, _UP),
        ("activation", activation, tuple(_ACTIVATIONS)),
        ("spatial_dims", spatial_dims, (2, 3)),
    ):
        if value not in allowed:
            raise ValueError(f"{name} must be one of {allowed}, got {value!r}")
    if up == "bicubic" and spatial_dims != 2:
        raise ValueError(f"up 'bicubic' needs spatial_dims 2, got {spatial_dims}")


def _down(spatial_dims: int, features: int, down: str) -> nn.Module:
    """Halve the grid."""
    if down == "strided":
        return Convolution(spatial_dims, features, features, strides=2, conv_only=True)
    kind = Pool.MAX if down == "max" else Pool.AVG
    pool: nn.Module = Pool[kind, spatial_dims](kernel_size=2)
    return pool


def _up(spatial_dims: int, coarse: int, fine: int, up: str) -> nn.Module:
    """Double the grid and bring the features to the finer level's width."""
    if up == "transposed":
        return UpSample(spatial_dims, coarse, fine, mode="deconv")
    return UpSample(
        spatial_dims,
        coarse,
        fine,
        mode="nontrainable",
        interp_mode=up,
        # Voxel centres, not corners: otherwise the image shrinks by half a voxel a level.
        align_corners=None if up == "nearest" else False,
    )


def _skip(spatial_dims: int, features: int, skip: int) -> nn.Module:
    """Bring the features of a level to the width of its skip connection."""
    if features == skip:
        return nn.Identity()
    return Convolution(spatial_dims, features, skip, kernel_size=1, conv_only=True)
