"""The thesis's ablation: a generator of shifted-window transformers instead of dense blocks."""

from __future__ import annotations

from monai.networks.nets.swin_unetr import (
    SwinTransformerBlock,
    compute_mask,
    get_window_size,
)
from torch import Tensor, nn
from torch.nn import functional as F

from custom.networks.blocks.interpolated_skip import InterpolatedSkip
from custom.networks.blocks.voxel_shuffle_head import VoxelShuffleHead
from custom.networks.initialisation import kaiming_init
from custom.physics.downsampling import Degradation

__all__ = ["SwinGenerator"]


class _SwinGroup(nn.Module):
    """MONAI's Swin blocks in a row, a convolution, and the input added.

    Not MONAI's ``BasicLayer``, which is the same row but needs einops.
    """

    def __init__(
        self, channels: int, depth: int, num_heads: int, window_size: int, use_checkpoint: bool
    ) -> None:
        super().__init__()
        self.window = (window_size,) * 3
        self.shift = (window_size // 2,) * 3
        self.blocks = nn.ModuleList(
            SwinTransformerBlock(
                channels,
                num_heads,
                self.window,
                self.shift if index % 2 else (0, 0, 0),
                use_checkpoint=use_checkpoint,
                use_flash_attention=True,
            )
            for index in range(depth)
        )
        self.conv = nn.Conv3d(channels, channels, 3, padding=1)
        # Slope 1: no activation follows this convolution.
        kaiming_init(self.conv, negative_slope=1.0)

    def forward(self, x: Tensor) -> Tensor:
        """Return the restored features, of axes that are multiples of the window."""
        size = tuple(x.shape[2:])
        # On an axis that one window covers MONAI does not shift.
        window, shift = get_window_size(  # type: ignore[no-untyped-call]
            size, self.window, self.shift
        )
        mask = compute_mask(size, window, shift, x.device)  # type: ignore[no-untyped-call]
        y = x.permute(0, 2, 3, 4, 1).contiguous()
        for block in self.blocks:
            y = block(y, mask)
        restored: Tensor = self.conv(y.permute(0, 4, 1, 2, 3).contiguous())
        return restored + x


class SwinGenerator(nn.Module):
    """Restore a volume at ``scale`` times its resolution, by attention within shifted windows.

    Convolution, ``num_groups`` groups of Swin blocks at the low resolution, each with a convolution
    and a skip, a convolution, a long skip, and a :class:`VoxelShuffleHead`: the generator of dense
    blocks with these exchanged. At the default size it has 16.0 million parameters, as many as the
    other. The far ends of a volume are padded with their last plane to whole windows, so any size
    works. Convolutions are drawn by ``kaiming_init``, transformers as MONAI draws them.

    Windows are laid from the corner of the volume: a tile agrees with the whole only where it
    begins at a multiple of ``window_size``. MONAI's blocks cannot be scripted.

    Args:
        channels: Width of the features, a multiple of ``num_heads``.
        num_groups: Number of groups.
        depth: Swin blocks of each, every other one with shifted windows.
        num_heads: Heads of attention.
        window_size: Low-resolution voxels of a window along each axis.
        scale: How many times finer the output is.
        negative_slope: Negative slope of the head's LeakyReLU.
        degradation: Operator that made the input; only the grid of the interpolated input depends
            on it.
        interpolated_skip: Whether the interpolated input is added to the output.
        slab: See :class:`VoxelShuffleHead`.
        use_checkpoint: Whether training computes the blocks twice, to save memory.

    Shape:
        Input: ``(B, 1, D, H, W)``; output: ``(B, 1, scale D, scale H, scale W)``.

    Raises:
        ValueError: If a number is too small, or the heads do not divide the channels.

    Source:
        docs/methods/gan3d_sr_denoise.md, "Generator"; Liu et al., "Swin Transformer", 2021; Liang
        et al., "SwinIR", 2021, for the groups.
    """

    def __init__(
        self,
        channels: int = 144,
        num_groups: int = 5,
        depth: int = 6,
        num_heads: int = 6,
        window_size: int = 4,
        scale: int = 2,
        negative_slope: float = 0.2,
        degradation: Degradation = "linear",
        interpolated_skip: bool = True,
        slab: int = 16,
        use_checkpoint: bool = False,
    ) -> None:
        super().__init__()
        if min(channels, num_groups, depth, num_heads) < 1 or window_size < 2:
            raise ValueError(
                "channels, num_groups, depth and num_heads must be at least 1 and window_size at "
                f"least 2, got {channels}, {num_groups}, {depth}, {num_heads} and {window_size}"
            )
        if channels % num_heads:
            raise ValueError(f"num_heads must divide channels, got {num_heads} and {channels}")
        self.window_size = window_size
        self.interpolated_skip = interpolated_skip
        self.skip = InterpolatedSkip(degradation, scale)
        self.first = nn.Conv3d(1, channels, 3, padding=1)
        self.groups = nn.Sequential(
            *(
                _SwinGroup(channels, depth, num_heads, window_size, use_checkpoint)
                for _ in range(num_groups)
            )
        )
        self.fuse = nn.Conv3d(channels, channels, 3, padding=1)
        self.head = VoxelShuffleHead(channels, scale, negative_slope, interpolated_skip, slab)
        # At most: a window reaches ``window_size - 1`` voxels, a convolution one.
        trunk = 2 + num_groups * (depth * (window_size - 1) + 1)
        self.receptive_radius = trunk + self.head.halo
        for part in (self.first, self.fuse, self.head):
            kaiming_init(part, negative_slope)

    def forward(self, x: Tensor) -> Tensor:
        """Return the restored volume."""
        size = x.shape[2:]
        after = [-length % self.window_size for length in size]
        padded = F.pad(x, [0, after[2], 0, after[1], 0, after[0]], mode="replicate")
        features = self.first(padded)
        features = self.fuse(self.groups(features)) + features
        # Cropped before the head, whose features are scale ** 3 times as many.
        image: Tensor = self.head(features[:, :, : size[0], : size[1], : size[2]])
        if self.interpolated_skip:
            image = image + self.skip(x)
        return image
