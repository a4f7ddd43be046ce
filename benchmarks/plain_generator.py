"""The published generator as it is usually written, from the weights of ours: the same function.

Each convolution of a dense block takes the concatenation of all results before it, and the
high-resolution features of the whole volume exist at once.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from custom.networks.blocks.residual_dense_block import ResidualDenseBlock
from custom.networks.nets.residual_dense_generator import ResidualDenseGenerator

__all__ = ["PlainGenerator"]


class PlainGenerator(nn.Module):
    """Give what a :class:`ResidualDenseGenerator` gives, by the textbook's order of operations.

    Args:
        network: The generator whose weights are taken.

    Shape:
        Input: ``(B, 1, D, H, W)``; output: ``(B, 1, scale D, scale H, scale W)``.
    """

    def __init__(self, network: ResidualDenseGenerator) -> None:
        super().__init__()
        self.network = network
        dense = (part for part in network.modules() if isinstance(part, ResidualDenseBlock))
        self.dense = nn.ModuleList(_PlainDenseBlock(part) for part in dense)

    def forward(self, x: Tensor) -> Tensor:
        """Return the restored volume."""
        network = self.network
        first = network.first(x)
        features, blocks = first, iter(self.dense)
        for row in network.blocks:
            inner = features
            for _ in row.blocks:  # type: ignore[union-attr]
                inner = next(blocks)(inner)
            features = features + row.residual_scale * inner
        image: Tensor = network.head.whole(first + network.fuse(features))
        return image + network.skip(x) if network.interpolated_skip else image


class _PlainDenseBlock(nn.Module):
    """Convolutions of concatenations."""

    def __init__(self, block: ResidualDenseBlock) -> None:
        super().__init__()
        self.residual_scale = block.residual_scale
        self.negative_slope = block.negative_slope
        sources = [block.first, *block.layers]
        bias = block.first.bias
        if bias is None:
            raise ValueError("block must have a bias")
        self.convs = nn.ModuleList()
        for number in range(1, len(sources) + 1):
            last = number == len(sources)
            parts = []
            for source, layer in enumerate(sources[:number]):
                start = block.growth * (number - source - 1)
                stop = None if last else start + block.growth
                parts.append(layer.weight[start:stop])
            weight = torch.cat(parts, 1)
            conv = nn.Conv3d(weight.shape[1], weight.shape[0], 3, padding=1)
            start = block.growth * (number - 1)
            with torch.no_grad():
                conv.weight.copy_(weight)
                conv.bias.copy_(bias[start : start + len(weight)])  # type: ignore[union-attr]
            self.convs.append(conv)

    def forward(self, x: Tensor) -> Tensor:
        """Return the input plus the scaled residue."""
        found = [x]
        for conv in self.convs[:-1]:
            ready = conv(torch.cat(found, 1))
            found.append(F.leaky_relu(ready, self.negative_slope))
        residue: Tensor = self.convs[-1](torch.cat(found, 1))
        return x + self.residual_scale * residue
