"""Plan for restoring a volume whole or in tiles, by the free memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import psutil
import torch

from custom.errors import InputError
from custom.inferers.tile_layout import TileSetting, check_layout, run_shape
from custom.setting_checks import check_above_zero, check_not_negative, check_whole

__all__ = ["MemoryPlan", "MemoryPlanner", "free_memory"]

_GIGABYTE = 1e9
_STEP = 8  # voxels between the tile sizes that are tried


def free_memory(device: torch.device | str = "cpu") -> int:
    """Return the free bytes on a device: main memory without swapping, or a GPU's own."""
    device = torch.device(device)
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


@dataclass(frozen=True)
class MemoryPlan:
    """Plan for restoring a volume."""

    tile: int | None  # the most voxels of a tile along an axis, without its halo; None: the whole
    text: str  # one line with the plan and its reason


class MemoryPlanner:
    """Choose the whole volume, or the largest tiles that fit the free memory.

    Whole is fastest, since no voxel is computed twice. The network's memory grows with the voxels
    of its input, the memory of the result with the volume.

    Args:
        network_bytes: Bytes of the network for each low-resolution voxel of its input, measured.
        result_bytes: Bytes of the result and its postprocessing for each voxel of the result, in
            main memory, measured.
        tile: ``auto``; ``whole``; or the most voxels of a tile along an axis.
        halo: See :func:`custom.inferers.tile_layout.split_axis`.
        overlap: See there.
        scale: Voxels of the result for each voxel of the input, along an axis.
        smallest_tile: Smallest tile of ``auto``; smaller ones consist mostly of halo.
        share: Share of the free memory that may be used.
        device: Where the network runs.
        memory: Returns the bytes that are free on a device.

    Raises:
        ValueError: If a setting is out of its range, or ``tile`` is another word.
    """

    def __init__(
        self,
        network_bytes: float,
        result_bytes: float = 0.0,
        tile: TileSetting = "auto",
        halo: int = 8,
        overlap: int = 8,
        scale: int = 2,
        smallest_tile: int = 24,
        share: float = 0.8,
        device: torch.device | str = "cpu",
        memory: Callable[[Any], int] = free_memory,
    ) -> None:
        check_layout(smallest_tile if tile == "auto" else tile, halo, overlap)
        check_above_zero("network_bytes", network_bytes)
        check_not_negative("result_bytes", result_bytes)
        check_above_zero("share", share)
        check_whole("scale", scale, 1)
        self.network_bytes = network_bytes
        self.result_bytes = result_bytes
        self.tile = tile
        self.halo = halo
        self.overlap = overlap
        self.scale = scale
        self.smallest_tile = smallest_tile
        self.share = share
        self.device = torch.device(device)
        self.memory = memory

    def plan(self, shape: Sequence[int]) -> MemoryPlan:
        """Return the plan for a low-resolution volume of a shape.

        Raises:
            InputError: If it does not fit, in one line.
        """
        result = self.result_bytes * math.prod(shape) * self.scale**3
        host = self.share * self.memory("cpu")
        # The result lies in main memory in any case; on a CPU the network shares that memory.
        room = host - result if self.device.type == "cpu" else self.share * self.memory(self.device)
        if result > host:
            raise InputError(_refusal(result, host, "restore parts of the volume, or"))
        whole = self.network_bytes * math.prod(shape)
        used = f"{_gb(whole)} for the network at once, {_gb(max(room, 0))} may be used"
        size = " x ".join(map(str, shape))
        if self.tile == "whole" or (self.tile == "auto" and whole <= room):
            if whole > room:
                raise InputError(_refusal(whole, room, "set tile to auto, or"))
            return MemoryPlan(None, f"{size} voxels whole: {used}")
        tile = self._largest_tile(shape, room) if self.tile == "auto" else int(self.tile)
        run, count = run_shape(shape, tile, self.halo, self.overlap)
        needed = self.network_bytes * math.prod(run)
        if needed > room:
            raise InputError(_refusal(needed + result, room + result, "set tile lower, or"))
        reason = used if self.tile == "auto" else f"tile is {tile}"
        return MemoryPlan(
            tile,
            f"{size} voxels in {count} tiles of at most {tile} with a halo of {self.halo}, "
            f"{_gb(needed)} at a time: {reason}",
        )

    def check(self, shape: Sequence[int]) -> None:
        """Raise as :meth:`plan` does, before anything is loaded."""
        self.plan(shape)

    def _largest_tile(self, shape: Sequence[int], room: float) -> int:
        """Return the largest tile that fits; the smallest one if none does."""
        longest = max(shape)
        for tile in range(longest - longest % _STEP, self.smallest_tile, -_STEP):
            run, _ = run_shape(shape, tile, self.halo, self.overlap)
            if self.network_bytes * math.prod(run) <= room:
                return tile
        return self.smallest_tile


def _refusal(needed: float, free: float, remedy: str) -> str:
    """Return the line for a volume that does not fit."""
    return (
        f"too large: restoring it needs about {_gb(needed)} of memory, {_gb(max(free, 0))} may be "
        f"used: {remedy} use a larger machine"
    )


def _gb(count: float) -> str:
    """Return bytes in gigabytes."""
    return f"{count / _GIGABYTE:.1f} GB"
