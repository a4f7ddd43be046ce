"""Layout of overlapping tiles along an axis, and their blending weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Literal

import torch
from torch import Tensor

from custom.setting_checks import check_whole

__all__ = ["Span", "TileSetting", "check_layout", "lay_tiles", "run_shape", "split_axis"]

_ALIGNED = 8  # voxels: a network that halves the grid so often sees the same blocks in every tile

TileSetting = int | Literal["auto", "whole"]


@dataclass(frozen=True)
class Span:
    """One tile's part of an axis, in low-resolution voxels: ``start`` to before ``stop``."""

    start: int
    stop: int
    before: int  # voxels at its start that it shares with the tile before it; 0 at the border
    after: int  # voxels at its end that it shares with the next tile; 0 at the border
    read_start: int  # of the network's input, as is the next
    read_stop: int

    def weights(self, scale: int) -> Tensor:
        r"""Return the weight of each voxel of the finer grid, ``((stop - start) * scale,)``.

        A ramp over the shared voxels, :math:`(j + 1/2) / n` for the tile that starts and
        :math:`1 - (j + 1/2) / n` for the one that ends, so that the two add up to 1.
        """
        # In float64, so that the two ramps add up to 1 within the rounding of float32.
        weights = torch.ones((self.stop - self.start) * scale, dtype=torch.float64)
        if self.before:
            weights[: self.before * scale] = _ramp(self.before * scale)
        if self.after:
            weights[-self.after * scale :] = 1 - _ramp(self.after * scale)
        return weights.float()


def check_layout(tile: TileSetting, halo: int, overlap: int) -> None:
    """Refuse sizes that do not fit together, by an error that the user reads.

    Raises:
        ValueError: If ``tile`` is another word, a size is no whole number, or ``tile`` is less than
            three times ``overlap``.
    """
    check_whole("halo", halo, 0)
    check_whole("overlap", overlap, 0)
    if tile in ("auto", "whole"):
        return
    if isinstance(tile, str):
        raise ValueError(f"tile must be auto, whole or a number of voxels, got {tile!r}")
    # Two ramps of one tile must not meet.
    check_whole("tile", tile, max(3 * overlap, 1))


def split_axis(length: int, tile: int, halo: int, overlap: int) -> list[Span]:
    """Divide an axis into as few tiles as possible, of nearly equal length.

    Args:
        length: Voxels of the axis.
        tile: The most voxels of a tile, without its halo; at least three times ``overlap``.
        halo: Further voxels of the network's input on each side, up to the ends of the axis; at the
            start up to 7 more, so that every input starts at a multiple of 8.
        overlap: Voxels that neighbouring tiles share.
    """
    # An inner tile shares half of the overlap with each neighbour: tile - overlap are its own.
    count = 1 if length <= tile else math.ceil(length / (tile - overlap))
    bounds = [round(index * length / count) for index in range(count + 1)]
    spans = []
    for index, (low, high) in enumerate(pairwise(bounds)):
        before = overlap if index else 0
        after = overlap if index < count - 1 else 0
        # Of an odd overlap one tile takes the larger half, so that just so many voxels are shared.
        start, stop = low - before // 2, high + (after - after // 2)
        first = max(start - halo, 0)
        reads = first - first % _ALIGNED, min(stop + halo, length)
        spans.append(Span(start, stop, before, after, *reads))
    return spans


def lay_tiles(shape: Sequence[int], tile: int, halo: int, overlap: int) -> list[tuple[Span, ...]]:
    """Return the tiles of an image of a shape, see :func:`split_axis`."""
    return list(product(*(split_axis(length, tile, halo, overlap) for length in shape)))


def run_shape(
    shape: Sequence[int], tile: int, halo: int, overlap: int
) -> tuple[tuple[int, ...], int]:
    """Return the largest input of the network along each axis, and the tiles."""
    axes = [split_axis(length, tile, halo, overlap) for length in shape]
    largest = tuple(max(span.read_stop - span.read_start for span in axis) for axis in axes)
    return largest, math.prod(len(axis) for axis in axes)


def _ramp(length: int) -> Tensor:
    """Return a line from 0 to 1 at the middles of ``length`` voxels."""
    return (torch.arange(length, dtype=torch.float64) + 0.5) / length
