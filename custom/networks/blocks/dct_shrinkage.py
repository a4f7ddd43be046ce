"""Denoising by shrinking the cosine transforms of small blocks; it has nothing to learn."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

__all__ = ["DctShrinkage"]

_BLOCK = 4  # voxels along each axis
_THRESHOLD = 2.7  # noise levels, below which a coefficient of the first pass is taken for noise


class DctShrinkage(nn.Module):
    r"""Take noise of a known level off volumes, in every block of 4 x 4 x 4 voxels.

    First the coefficients within 2.7 levels are set to 0. Of that result, blocks are transformed
    again, and those of the volume are multiplied by Wiener's :math:`c^2 / (c^2 + \sigma^2)`. A
    voxel is the mean over its 64 blocks, weighted by how little of their noise is left. Where the
    level is 0 the volume returns as it is, up to rounding; units do not matter. Gradients do not
    pass.

    Shape:
        ``volume``, ``level`` and output: ``(B, 1, D, H, W)``.

    Source:
        Yaroslavsky, Egiazarian, Astola, "Transform domain image restoration methods", SPIE 4304
        (2001), 155; the two passes as in Maggioni, Katkovnik, Egiazarian, Foi, "BM4D", IEEE Trans
        Image Process 22 (2013), 119, without its search for similar blocks.
    """

    def __init__(self) -> None:
        super().__init__()
        self.block, self.threshold = _BLOCK, _THRESHOLD
        place = torch.arange(_BLOCK, dtype=torch.float64)
        cosines = torch.cos(torch.pi * (place + 0.5) * place[:, None] / _BLOCK)
        cosines *= (2 / _BLOCK) ** 0.5
        cosines[0] /= 2**0.5
        # Plain numbers: TorchScript would store a buffer among the weights.
        self.cosines = cosines.tolist()

    def forward(self, volume: Tensor, level: Tensor) -> Tensor:
        """Denoise a batch of volumes."""
        with torch.no_grad():
            around = [self.block // 2 - 1, self.block // 2] * 3
            noise = pad(level, around, mode="replicate")[:, 0]
            found = self._transformed(volume)
            kept = (found.abs() > self.threshold * noise).to(found.dtype)
            kept[0] = 1.0
            power = self._transformed(self._averaged(found, kept)).square()
            # Where both are 0, as in air without noise, there is nothing to keep or to lose.
            factor = power / (power + noise.square()).clamp(min=1e-30)
            return self._averaged(found, factor)

    def _basis(self, like: Tensor) -> Tensor:
        """Return the transform of a block as a matrix, on a tensor's device and in its type."""
        cosines = torch.tensor(self.cosines, dtype=torch.float64)
        return torch.kron(torch.kron(cosines, cosines), cosines).to(like)

    def _transformed(self, volume: Tensor) -> Tensor:
        """Return the coefficients of all blocks of a volume, ``(64, B, D+3, H+3, W+3)``."""
        grown = pad(volume, [self.block - 1] * 6, mode="replicate")[:, 0]
        blocks = grown.unfold(1, self.block, 1).unfold(2, self.block, 1).unfold(3, self.block, 1)
        columns = blocks.permute(4, 5, 6, 0, 1, 2, 3).flatten(0, 2)
        return (self._basis(columns) @ columns.flatten(1)).view(columns.shape)

    def _averaged(self, found: Tensor, factor: Tensor) -> Tensor:
        """Return the volume of which all blocks are multiplied by factors in the transform."""
        weight = 1 / factor.square().sum(0).clamp(min=1)
        weighted = (found * factor * weight).flatten(1)
        blocks = (self._basis(weighted).t() @ weighted).view(found.shape)
        b, d, h, w = weight.shape
        more = self.block - 1
        total = weight.new_zeros([b, d + more, h + more, w + more])
        share = torch.zeros_like(total)
        number = 0
        for i in range(self.block):
            for j in range(self.block):
                for k in range(self.block):
                    total[:, i : i + d, j : j + h, k : k + w] += blocks[number]
                    share[:, i : i + d, j : j + h, k : k + w] += weight
                    number += 1
        return (total / share)[:, None, more:-more, more:-more, more:-more]
