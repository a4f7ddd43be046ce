"""Restore images on a finer grid, whole or in tiles with the same result."""

from __future__ import annotations

import logging
import math
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from monai.inferers import Inferer
from monai.networks import eval_mode
from monai.utils import convert_to_dst_type
from torch import Tensor, nn

from custom.errors import InputError
from custom.inferers.lean_generator import lean_form
from custom.inferers.memory_plan import MemoryPlanner
from custom.inferers.tile_layout import Span, TileSetting, check_layout, lay_tiles
from custom.setting_checks import check_whole

__all__ = ["TiledUpscalingInferer"]

logger = logging.getLogger(__name__)

Network = Callable[..., Tensor]
Precision = Literal["float32", "bfloat16"]


class TiledUpscalingInferer(Inferer):
    """Run a fully convolutional network on a whole volume, or on tiles of it.

    The network gets each tile with a halo of its surroundings, which is clipped at the border of
    the volume, so that the border is treated as in the whole volume. Results are blended by a
    linear ramp over the voxels that neighbouring tiles share, into one output that is allocated
    once. So only the output's memory depends on the size of the volume; above a stated size it is a
    file on disk.

    If the halo is at least the receptive radius of the network, tiles and the whole volume give the
    same, up to rounding. A smaller halo costs less; the ramp then hides the seams.

    MONAI's ``SlidingWindowInferer`` has no halo, pads a volume that is smaller than its window,
    and keeps a second map of weights as large as the output.

    Args:
        scale: Voxels of the output for each of the input, along an axis.
        tile: ``auto``, by ``planner``; ``whole``; or the most voxels of a tile along an axis,
            without its halo.
        halo: Voxels around a tile that belong to the network's input.
        overlap: Voxels that neighbouring tiles share.
        planner: Makes and logs the plan. Needed for ``auto``.
        precision: ``bfloat16`` runs the network in it; the output is float32.
        mapped_above: Bytes of the output above which it is a file; None: never.
        folder: Folder of that file, which has no name there and is freed with the output; by
            default the system's folder of temporary files.
        lean: Whether to take the network's lean form, if it has one (see
            :func:`custom.inferers.lean_generator.lean_form`).

    Shape:
        ``inputs``: ``(B, C, *spatial)`` of two or three axes; output: ``(B, K, *spatial)``, each
        axis ``scale`` times as long, float32. It lies in main memory if there are tiles, else where
        the inputs do.

    Raises:
        ValueError: If a setting is out of its range.
        InputError: At the call, if the volume does not fit.
        ValueError: If ``auto`` has no planner; at the call if ``inputs`` are no images, or the
            network's output has another size.
    """

    def __init__(
        self,
        scale: int = 2,
        tile: TileSetting = "whole",
        halo: int = 8,
        overlap: int = 8,
        planner: MemoryPlanner | None = None,
        precision: Precision = "float32",
        mapped_above: float | None = None,
        folder: str | Path | None = None,
        lean: bool = True,
    ) -> None:
        super().__init__()
        if precision not in ("float32", "bfloat16"):
            raise ValueError(f"precision must be float32 or bfloat16, got {precision!r}")
        if tile == "auto" and planner is None:
            raise ValueError("tile auto needs planner")
        check_layout(tile, halo, overlap)
        check_whole("scale", scale, 1)
        self.scale = scale
        self.tile = tile
        self.halo = halo
        self.overlap = overlap
        self.planner = planner
        self.precision = precision
        self.mapped_above = mapped_above
        self.folder = folder
        self.lean = lean

    def __call__(self, inputs: Tensor, network: Network, *args: Any, **kwargs: Any) -> Tensor:
        """Restore a batch of images; further arguments go to the network."""
        if inputs.ndim not in (4, 5):
            raise ValueError(
                f"inputs must be (B, C, H, W) or (B, C, D, H, W), got {tuple(inputs.shape)}"
            )
        volume = torch.as_tensor(inputs).as_subclass(Tensor)
        tile = self._tile(volume)
        with eval_mode(network):  # type: ignore[arg-type]  # any callable
            if self.lean and self.precision == "float32" and isinstance(network, nn.Module):
                network = lean_form(network, volume.device)
            if tile is None:
                result = self._run(volume, network, *args, **kwargs)
            else:
                result = self._in_tiles(volume, tile, network, *args, **kwargs)
        # No affine: the grid is not that of the input, and depends on the degradation.
        output: Tensor = convert_to_dst_type(result, inputs, torch.float32, device=result.device)[0]
        return output

    def _tile(self, volume: Tensor) -> int | None:
        """Return the size of the tiles, None for the whole volume."""
        if self.planner is not None:
            plan = self.planner.plan(volume.shape[2:])
            logger.info("restoring %s", plan.text)
            return plan.tile
        tile = None if isinstance(self.tile, str) else self.tile
        return tile if tile is not None and tile < max(volume.shape[2:]) else None

    def _run(self, part: Tensor, network: Network, *args: Any, **kwargs: Any) -> Tensor:
        """Run the network on a part and check the size of its output."""
        # An autocast around this call, as by ``amp``, stays active.
        half = torch.autocast(part.device.type, torch.bfloat16)
        with half if self.precision == "bfloat16" else nullcontext():
            made = network(part, *args, **kwargs)
        expected = tuple(self.scale * length for length in part.shape[2:])
        if made.shape[2:] != expected:
            raise ValueError(
                f"network must give {expected} voxels for {tuple(part.shape[2:])}, "
                f"got {tuple(made.shape[2:])}"
            )
        return made.as_subclass(Tensor).float()

    def _in_tiles(
        self, volume: Tensor, tile: int, network: Network, *args: Any, **kwargs: Any
    ) -> Tensor:
        """Restore tile by tile."""
        output: Tensor | None = None
        for spans in lay_tiles(volume.shape[2:], tile, self.halo, self.overlap):
            read = (slice(span.read_start, span.read_stop) for span in spans)
            part = volume[:, :, *read].contiguous()
            made = self._run(part, network, *args, **kwargs)
            if output is None:
                fine = [self.scale * length for length in volume.shape[2:]]
                output = self._empty((len(volume), made.shape[1], *fine))
            # In main memory: the whole output is what a GPU may have no room for.
            self._add(output, made.to("cpu"), spans)
        if output is None:
            raise ValueError(f"inputs must hold voxels, got {tuple(volume.shape)}")
        return output

    def _add(self, output: Tensor, made: Tensor, spans: Sequence[Span]) -> None:
        """Add a tile without its halo, weighted where it overlaps others."""
        for axis, span in enumerate(spans, start=2):
            first = (span.start - span.read_start) * self.scale
            made = made.narrow(axis, first, (span.stop - span.start) * self.scale)
            if span.before or span.after:
                weights = span.weights(self.scale)
                made = made * weights.reshape(-1, *[1] * (made.ndim - 1 - axis))
        place = (slice(span.start * self.scale, span.stop * self.scale) for span in spans)
        output[:, :, *place] += made

    def _empty(self, shape: tuple[int, ...]) -> Tensor:
        """Return zeros, in memory or on disk."""
        needed = 4 * math.prod(shape)
        if self.mapped_above is None or needed <= self.mapped_above:
            return torch.zeros(shape)
        folder = Path(self.folder or tempfile.gettempdir())
        folder.mkdir(parents=True, exist_ok=True)
        # Asked first: writing to a mapped file on a full disk ends the process by a signal.
        free = shutil.disk_usage(folder).free
        if free < needed:
            raise InputError(
                f"{folder}: {needed / 1e9:.1f} GB of disk needed while restoring, "
                f"{free / 1e9:.1f} GB is free"
            )
        # The file keeps its place on the disk as long as the array is there.
        with tempfile.TemporaryFile(dir=folder) as file:
            array = np.memmap(file, dtype=np.float32, mode="w+", shape=shape)
        return torch.from_numpy(array)
