"""Vertebrae, discs, spinal cord and its canal."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from custom.demo.random_field import Profile
from custom.demo.slab import Slab

__all__ = ["Spine"]

Array = NDArray[np.float32]

_LEVELS = (-34.0, -20.0, -8.0, 2.0, 10.0, 16.0, 20.0, 24.0)
# Height of the vertebral bodies' centre (towards the belly): the mouse has a hunched back.
_HEIGHT = (-2.6, -3.6, -4.0, -3.8, -3.0, -1.8, -0.6, 0.4)
_VERTEBRA_MM = (3.6, 3.5, 3.0, 2.3, 2.0, 1.9, 2.0, 2.2)
_TOP_MM = 24.0


class Spine:
    """The vertebral column.

    Args:
        rng: Random generator of the animal.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        scale = rng.normal(1.0, 0.04)
        height = np.asarray(_HEIGHT) + rng.normal(0.0, 0.25)
        self.height = Profile(_LEVELS, height.tolist())
        self.side = Profile(_LEVELS, rng.normal(0.0, 0.25, len(_LEVELS)).tolist())
        length = [scale * value for value in _VERTEBRA_MM]
        self.length = Profile(_LEVELS, length)
        # Count of vertebrae along the column: the integral of one over their length.
        fine = np.linspace(_LEVELS[0], _LEVELS[-1], 400)
        count = np.cumsum(1 / self.length(fine.astype(np.float32))) * (fine[1] - fine[0])
        self.count = Profile(fine.tolist(), (count + rng.uniform()).tolist())
        self.size = float(rng.normal(1.0, 0.04))

    def paint(self, slab: Slab) -> None:
        """Paint the column."""
        part = slab.crop((-3.6, -10.5, -40.0), (3.6, 2.2, _TOP_MM))
        if part is None:
            return
        size = np.float32(1 / self.size)
        across = (part.x - self.side(part.z)) * size
        up = (self.height(part.z) - part.y) * size
        end = part.z - _TOP_MM
        count = self.count(part.z)
        length = self.length(part.z)
        # Distance along the column from the middle of the nearest vertebra.
        along = np.abs(count - np.floor(count) - 0.5) * length
        self._paint_bodies(part, np.hypot(across * 0.87, up), along, length, end)
        self._paint_arches(part, across, up, along, length, end)
        self._paint_cord(part, across, up - 1.85, end)

    def _paint_bodies(
        self, slab: Slab, radius: Array, along: Array, length: Array, end: Array
    ) -> None:
        """Paint vertebral bodies with marrow, and discs with their nucleus."""
        outline = np.maximum(radius - 1.15, end)
        gap = length / 2 - 0.24 - along
        slab.paint("disc", outline)
        slab.paint("nucleus pulposus", np.maximum(radius - 0.62, gap + 0.06))
        bone = np.maximum(outline, -gap)
        slab.paint("cortical bone", bone)
        slab.paint("marrow", bone + 0.2)
        plates = np.abs(gap - 0.55) - 0.03
        slab.paint("cortical bone", np.maximum(plates, outline + 0.2))

    def _paint_arches(
        self, slab: Slab, across: Array, up: Array, along: Array, length: Array, end: Array
    ) -> None:
        """Paint arch, transverse processes and the spinous process of each vertebra."""
        side = np.abs(across)
        ring = np.hypot(across, (up - 1.85) * 1.05)
        arch = np.maximum(ring - 1.45, along - 0.34 * length)
        transverse = np.maximum(
            np.hypot(np.maximum(side - 2.0, 0), up - 0.45) - 0.34,
            along - 0.24 * length,
        )
        tip = np.abs(up - 3.6 - 0.5 * along) - 1.0
        spinous = np.maximum(np.maximum(side - 0.24, tip), along - 0.3 * length)
        limit = np.maximum(end, slab.fields["body"] + 0.8)
        for process in (transverse, spinous, arch):
            limited = np.maximum(process, limit)
            slab.paint("fat", limited - 0.05)
            slab.paint("cortical bone", limited)
            slab.paint("marrow", limited + 0.2)

    def _paint_cord(self, slab: Slab, across: Array, up: Array, end: Array) -> None:
        """Paint epidural fat, cerebrospinal fluid, white and grey matter."""
        radius = np.hypot(across * 0.92, up)
        end = end - 0.8
        slab.paint("fat", np.maximum(radius - 1.08, end))
        slab.paint("cerebrospinal fluid", np.maximum(radius - 0.97, end))
        slab.paint("white matter", np.maximum(radius - 0.8, end))
        # The butterfly: two horns on each side and a bridge.
        horn = np.hypot(np.abs(across) - 0.26, up * 0.48)
        bridge = np.maximum(np.abs(across) - 0.3, np.abs(up) - 0.1)
        slab.paint("grey matter", np.maximum(np.minimum(horn - 0.2, bridge), end))
