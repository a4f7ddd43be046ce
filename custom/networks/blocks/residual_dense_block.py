"""Dense blocks inside residual blocks, in three dimensions."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["ResidualDenseBlock", "ResidualInResidualBlock"]


class ResidualDenseBlock(nn.Module):
    r"""Dense block: each convolution sees the block's input and all earlier results.

    .. math::
        h_k = \phi\Big(b_k + \sum_{j < k} W_{kj} * h_j\Big), \quad h_0 = x, \quad
        y = x + s \Big(b_n + \sum_{j < n} W_{nj} * h_j\Big)

    The ``h_j`` are not concatenated: each is convolved once with the weights towards all later
    layers (``layers[j]``, one wide convolution), and the results are added to the pending sums of
    these layers. Sums and parameters are the same, but training stores ``x`` and the ``h_j`` once
    instead of in every concatenation: 320 channels a block instead of 1280 at the published size.

    Args:
        channels: Channels of input and output.
        growth: Channels of ``h_1 .. h_{n-1}``.
        convs: ``n``, number of convolutions, at least 2.
        residual_scale: ``s``.
        negative_slope: Negative slope of the LeakyReLU ``phi``.

    Shape:
        Input and output: ``(B, channels, D, H, W)``.

    Raises:
        ValueError: If a number is too small.

    Source:
        docs/methods/gan3d_sr_denoise.md, "Generator".
    """

    def __init__(
        self,
        channels: int = 64,
        growth: int = 32,
        convs: int = 5,
        residual_scale: float = 0.2,
        negative_slope: float = 0.2,
    ) -> None:
        super().__init__()
        if channels < 1 or growth < 1 or convs < 2:
            raise ValueError(
                "channels and growth must be at least 1 and convs at least 2, "
                f"got {channels}, {growth} and {convs}"
            )
        self.growth = growth
        self.residual_scale = residual_scale
        self.negative_slope = negative_slope
        # Result j goes to all later layers at once: their growths, and last the block's output.
        waiting = [growth * (convs - 1 - j) + channels for j in range(convs)]
        self.first = nn.Conv3d(channels, waiting[0], 3, padding=1)
        # Without biases: the first convolution's reaches every later sum already.
        self.layers = nn.ModuleList(
            nn.Conv3d(growth, width, 3, padding=1, bias=False) for width in waiting[1:]
        )

    def after_kaiming(self) -> None:
        """Rescale the weights: the fan-in of a sum is that of all its terms together."""
        channels, growth = self.first.in_channels, self.growth
        with torch.no_grad():
            for source, layer in enumerate([self.first, *self.layers]):
                own = channels if source == 0 else growth
                for later in range(source + 1, len(self.layers) + 2):
                    start = growth * (later - source - 1)
                    stop = start + growth if later <= len(self.layers) else None
                    factor = (own / (channels + growth * (later - 1))) ** 0.5
                    layer.weight[start:stop] *= factor

    def forward(self, x: Tensor) -> Tensor:
        """Return the input plus the scaled residue."""
        waiting = self.first(x)
        for layer in self.layers:
            # A copy: the backward pass then keeps this part alone, not the whole sum.
            ready = F.leaky_relu_(waiting[:, : self.growth].clone(), self.negative_slope)
            waiting = layer(ready).add_(waiting[:, self.growth :])
        return torch.add(x, waiting, alpha=self.residual_scale)


class ResidualInResidualBlock(nn.Module):
    """Residual-in-residual dense block: dense blocks in a row, scaled and added to the input.

    Args:
        channels: Channels of input and output.
        growth: Growth rate of each dense block.
        dense_blocks: Number of dense blocks, at least 1.
        convs: Convolutions of each.
        residual_scale: Residual scale of each dense block, and of the row.
        negative_slope: Negative slope of the LeakyReLU.

    Shape:
        Input and output: ``(B, channels, D, H, W)``.

    Raises:
        ValueError: If a number is too small.

    Source:
        docs/methods/gan3d_sr_denoise.md, "Generator".
    """

    def __init__(
        self,
        channels: int = 64,
        growth: int = 32,
        dense_blocks: int = 3,
        convs: int = 5,
        residual_scale: float = 0.2,
        negative_slope: float = 0.2,
    ) -> None:
        super().__init__()
        if dense_blocks < 1:
            raise ValueError(f"dense_blocks must be at least 1, got {dense_blocks}")
        self.residual_scale = residual_scale
        self.blocks = nn.Sequential(
            *(
                ResidualDenseBlock(channels, growth, convs, residual_scale, negative_slope)
                for _ in range(dense_blocks)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the input plus the scaled result of the row."""
        return torch.add(x, self.blocks(x), alpha=self.residual_scale)
