"""The residual attention U-Net of the 3 T to 7 T synthesis."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from monai.networks.nets.diffusion_model_unet import SpatialTransformer
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d, pad

from custom.networks.blocks.ada_dm import NormalisedResidualBlock
from custom.networks.blocks.context_encoder import CONTEXT, ContextEncoder
from custom.setting_checks import check_whole

__all__ = ["AttentionResidualUNet"]


class AttentionResidualUNet(nn.Module):
    r"""Predict a slice from it and its neighbours, with attention at the coarsest grid.

    Stages of residual blocks, max-pooling down, nearest neighbours up, skips side by side; at the
    bottom a residual block, self attention, and a residual block. After each residual block of the
    ``context_stages``, attention to itself and to the context follows.

    With ``residual`` the middle slice is added to a last convolution that starts at zero: the
    untrained network returns the middle slice.

    Args:
        features: Channels of the first convolution.
        multipliers: Channels of each stage, in ``features``.
        num_blocks: Residual blocks of a stage, on both ways.
        groups: Of the group normalisation.
        context_stages: Stages with attention to the context, counted from 1; the bottom is one
            more than there are stages. Empty: the context does not matter.
        num_slices: Neighbouring slices that it sees, odd.
        residual: Whether the middle slice is added.
        last_norm: Whether the last convolution sees normalised features.
        adadm: Whether blocks have :class:`~custom.networks.blocks.ada_dm.AdaDM`.
        attention: Whether there is self attention at the bottom.
        downsample_last: Whether the grid is halved after the last stage, too.

    Shape:
        ``x``: ``(B, num_slices, H, W)``, any size; ``context``: ``(B, 4)``, see
        :data:`~custom.networks.blocks.context_encoder.CONTEXT`, or None: unknown. Output:
        ``(B, 1, H, W)``.

    Raises:
        ValueError: If a number is no whole number of at least 1, ``num_slices`` is even, channels
            are no multiples of ``groups``, or there is no such stage.

    Source:
        docs/methods/brain_3t7t_sr.md, "Network".
    """

    def __init__(
        self,
        features: int = 16,
        multipliers: Sequence[int] = (1, 2, 2),
        num_blocks: int = 1,
        groups: int = 8,
        context_stages: Sequence[int] = (),
        num_slices: int = 3,
        residual: bool = True,
        last_norm: bool = False,
        adadm: bool = True,
        attention: bool = True,
        downsample_last: bool = False,
    ) -> None:
        super().__init__()
        widths = [features * multiplier for multiplier in multipliers]
        bottom = len(widths) + 1
        _check(num_slices, groups, [features, *widths], num_blocks, context_stages, bottom)
        self.residual, self.middle = residual, num_slices // 2
        self.entries = len(CONTEXT)
        self.halvings = len(widths) if downsample_last else len(widths) - 1
        self.step = 2**self.halvings
        self.context = ContextEncoder(features) if context_stages else None

        def stage(number: int, first: int, width: int, count: int = num_blocks) -> _Stage:
            wanted = features if number in context_stages else None
            return _Stage(first, width, count, groups, adadm, wanted)

        self.first = nn.Conv2d(num_slices, features, 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        before = features
        for number, width in enumerate(widths, 1):
            self.down.append(stage(number, before, width))
            before = width
        self.enter = stage(bottom, before, before, 1)
        self.attention = _SelfAttention(before, groups) if attention else None
        self.leave = stage(bottom, before, before, 1)
        for number, width in reversed(list(enumerate(widths, 1))):
            self.up.append(stage(number, before + width, width))
            before = width
        self.norm = nn.GroupNorm(groups, before) if last_norm else nn.Identity()
        self.last = nn.Sequential(nn.SiLU(), nn.Conv2d(before, 1, 3, padding=1))
        if residual:
            nn.init.zeros_(self.last[1].weight)  # type: ignore[arg-type]
            nn.init.zeros_(self.last[1].bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Predict a batch of slices."""
        height, width, step = x.shape[2], x.shape[3], self.step
        whole = pad(x, [0, -width % step, 0, -height % step], mode="replicate")
        tokens: Tensor | None = None
        if self.context is not None:
            if context is None:
                context = torch.full([len(x), self.entries], float("nan"), device=x.device)
            tokens = self.context(context)
        features = self.first(whole)
        skips: list[Tensor] = []
        for number, stage in enumerate(self.down):
            features = stage(features, tokens)
            skips.append(features)
            if number < self.halvings:
                features = max_pool2d(features, 2)
        features = self.enter(features, tokens)
        if self.attention is not None:
            features = self.attention(features)
        features = self.leave(features, tokens)
        for stage in self.up:
            skip = skips.pop()
            if skip.shape[2:] != features.shape[2:]:
                features = interpolate(features, scale_factor=2.0, mode="nearest")
            features = stage(torch.cat([features, skip], dim=1), tokens)
        made: Tensor = self.last(self.norm(features))[:, :, :height, :width]
        return made + x[:, self.middle : self.middle + 1] if self.residual else made


class _Stage(nn.Module):
    """Residual blocks, each followed by attention to the context if its features are given."""

    def __init__(
        self, first: int, width: int, count: int, groups: int, adadm: bool, context: int | None
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            NormalisedResidualBlock(width if number else first, width, groups, adadm)
            for number in range(count)
        )
        self.attentions = nn.ModuleList(
            _transformer(width, groups, context) if context else _NoAttention()
            for _ in range(count)
        )

    def forward(self, x: Tensor, tokens: Tensor | None = None) -> Tensor:
        """Compute the features of a batch."""
        for block, attention in zip(self.blocks, self.attentions):  # noqa: B905 (TorchScript)
            x = attention(block(x), tokens)
        return x


class _NoAttention(nn.Module):
    """What stands where there is no attention: TorchScript wants one signature."""

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the features."""
        return x


class _SelfAttention(nn.Module):
    """Self attention that knows the positions, as sinusoids over the flattened slice."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.transformer = _transformer(width, groups, None)

    def forward(self, x: Tensor) -> Tensor:
        """Attend to all positions; positions leave no trace in the sum that skips attention."""
        placed = x + _positions(x)
        made: Tensor = x + (self.transformer(placed) - placed)
        return made


def _positions(x: Tensor) -> Tensor:
    """Return the sinusoids of the flattened positions of features, ``(1, C, H, W)``."""
    channels, height, width = x.shape[1], x.shape[2], x.shape[3]
    index = torch.arange(height * width, device=x.device, dtype=torch.float32)
    number = torch.arange(channels, device=x.device)
    rate = torch.exp(-math.log(1e4) * (number // 2 * 2) / channels)
    angle = index * rate[:, None]
    waves = torch.where((number % 2 == 0)[:, None], angle.sin(), angle.cos())
    return waves.view(1, channels, height, width).to(x.dtype)


def _transformer(width: int, groups: int, context: int | None) -> SpatialTransformer:
    """Return MONAI's transformer of one head and one layer, by fused attention."""
    return SpatialTransformer(
        spatial_dims=2,
        in_channels=width,
        num_attention_heads=1,
        num_head_channels=width,
        norm_num_groups=groups,
        cross_attention_dim=context,
        use_flash_attention=True,
    )


def _check(
    num_slices: int,
    groups: int,
    widths: Sequence[int],
    num_blocks: int,
    context_stages: Sequence[int],
    bottom: int,
) -> None:
    """Raise ``ValueError`` unless a network can be made so."""
    check_whole("num_slices", num_slices, 1)
    check_whole("groups", groups, 1)
    check_whole("num_blocks", num_blocks, 1)
    if len(widths) < 2:
        raise ValueError("multipliers must name at least one stage")
    if num_slices % 2 == 0:
        raise ValueError(f"num_slices must be odd, got {num_slices}")
    for width in widths:
        check_whole("channels of a stage", width, 1)
        if width % groups:
            raise ValueError(f"channels must be multiples of {groups} groups, got {width}")
    for number in context_stages:
        if number not in range(1, bottom + 1):
            raise ValueError(f"context_stages must be in 1 to {bottom}, got {number}")
