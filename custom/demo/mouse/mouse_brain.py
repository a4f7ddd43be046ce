"""Brain: cortex, hippocampus, white matter, ventricles, cerebellum and olfactory bulbs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from custom.demo.shapes import Capsule, Ellipsoid
from custom.demo.slab import Slab

__all__ = ["Brain"]

Array = NDArray[np.float32]


class Brain:
    """The brain and the fluid around it.

    Args:
        rng: Random generator of the animal.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        size = rng.normal(1.0, 0.03, 3)
        self.cerebrum = Ellipsoid(
            (0.0, -1.1, 31.8), (5.0 * size[0], 3.3 * size[1], 5.4 * size[2]), 4.0
        )
        self.cerebellum = Ellipsoid((0.0, -1.7, 26.2), (3.7 * size[0], 2.5 * size[1], 2.3))
        self.stem = Capsule((0.0, 0.7, 29.5), (0.0, -1.3, 22.5), 2.1, 1.25)
        self.bulbs = [
            Ellipsoid((side * 0.95, -0.7, 38.0), (0.98, 1.15, 1.9), 6.0) for side in (-1, 1)
        ]
        self.cortex_mm = float(rng.normal(1.05, 0.05))
        self.ventricle_mm = float(rng.uniform(0.1, 0.2))
        self.folia = float(rng.uniform(0.0, 6.28))

    def outline(self, slab: Slab) -> Array:
        """Return the distance to the surface of the whole brain."""
        parts = [solid.distance(slab) for solid in (self.cerebrum, self.cerebellum, *self.bulbs)]
        outline: Array = np.minimum.reduce([*parts, self.stem.distance(slab)])
        return outline

    def paint(self, slab: Slab) -> None:
        """Paint the brain into a slab that has its skull."""
        self._paint_stem(slab)
        self._paint_cerebrum(slab)
        self._paint_cerebellum(slab)
        for bulb in self.bulbs:
            part = bulb.crop(slab)
            if part is not None:
                distance = bulb.distance(part)
                part.paint("grey matter", distance + 0.05)
                part.paint("hippocampus", distance + 0.38)
                part.paint("white matter", np.abs(distance + 0.55) - 0.05)
                part.paint("deep grey matter", distance + 0.75)

    def _paint_stem(self, slab: Slab) -> None:
        """Paint pons, medulla and the aqueduct."""
        part = self.stem.crop(slab)
        if part is None:
            return
        distance = self.stem.distance(part)
        part.paint("deep grey matter", distance + 0.1)
        tracts = np.abs(part.fields["fissures"]) * 2.0 - 0.07
        part.paint("white matter", np.maximum(tracts, distance + 0.3))
        basal = np.maximum(distance + 0.1, 1.9 - part.y + 0 * part.x)
        part.paint("white matter", basal)
        aqueduct = Capsule((0.0, -0.9, 29.5), (0.0, -1.2, 25.0), 0.16, 0.3)
        part.paint("cerebrospinal fluid", aqueduct.distance(part))

    def _paint_cerebrum(self, slab: Slab) -> None:
        """Paint cortex in layers, callosum, hippocampus, striatum, thalamus and ventricles."""
        part = self.cerebrum.crop(slab)
        if part is None:
            return
        depth = -self.cerebrum.distance(part)
        x, y, z = self.cerebrum.local(part)
        side = np.abs(x)
        part.paint("grey matter", 0.04 - depth)
        # Layer IV is darker than its neighbours, layer I brighter.
        part.paint("hippocampus", np.abs(depth - 0.14) - 0.06)
        layer = np.abs(depth - (0.5 * self.cortex_mm)) - 0.1
        part.paint("deep grey matter", np.maximum(layer, y - 0.6))
        inner = self.cortex_mm - depth + 0.12 * part.fields["fat"]
        part.paint("deep grey matter", np.maximum(inner, y - 1.2))
        self._paint_inside(part, inner, side, y, z)
        callosum = np.abs(inner + 0.12)
        callosum = callosum - np.clip(0.09 * (1.6 - y), -0.05, 0.13)
        part.paint("white matter", np.maximum(callosum, y - 1.3))
        fissure = np.maximum(side - 0.05, y + np.float32(self.cerebrum.radii[1] - 0.95))
        part.paint("cerebrospinal fluid", np.maximum(fissure, -0.1 - depth))

    def _paint_inside(self, part: Slab, inner: Array, side: Array, y: Array, z: Array) -> None:
        """Paint the parts below the callosum; ``inner`` is the distance below the cortex."""
        below = -inner
        front = z - 0.2
        stripes = np.abs(part.fields["lobules"]) * 0.8 - 0.05
        striatum = np.maximum(np.maximum(inner + 0.3, -front), 0.8 - side)
        part.paint("white matter", np.maximum(stripes, striatum))
        # The hippocampus curls under the hind callosum, its layers parallel to it.
        curl = np.abs(below - 0.85) - 0.55
        hippocampus = np.maximum(np.maximum(curl, front), y - 1.0)
        hippocampus = np.maximum(hippocampus, 0.25 - side)
        part.paint("hippocampus", hippocampus)
        pyramidal = np.abs(below - 0.72) - 0.05
        dentate = np.abs(below - 1.1) - 0.06
        for lamina in (pyramidal, dentate):
            part.paint("white matter", np.maximum(lamina, hippocampus + 0.1))
        width = np.float32(self.ventricle_mm)
        lateral = np.maximum(
            np.abs(below - 0.36) - width * _taper(side, 1.4, 1.1),
            np.abs(side - 1.4) - 1.1,
        )
        lateral = np.maximum(lateral, np.abs(z - 0.5) - 2.3)
        part.paint("cerebrospinal fluid", np.maximum(lateral, y - 0.3))
        hind = np.abs(below - 1.5) - 0.8 * width * _taper(side, 2.8, 0.9)
        hind = np.maximum(hind, hippocampus - 0.5)
        part.paint(
            "cerebrospinal fluid",
            np.maximum(hind, np.abs(side - 2.8) - 0.9),
        )
        third = np.maximum(
            side - 0.09 * _taper(y, 0.9, 1.3),
            np.abs(y - 0.9) - 1.3,
        )
        third = np.maximum(third, np.abs(z + 0.6) - 1.9)
        part.paint("cerebrospinal fluid", third)
        for height, level, radius in ((0.9, 2.0, 0.22), (-0.1, 1.1, 0.3), (2.0, -0.6, 0.3)):
            tract = np.hypot(y - height, z - level) - radius
            part.paint("white matter", np.maximum(tract, side - 2.2))

    def _paint_cerebellum(self, slab: Slab) -> None:
        """Paint the folia: fluid in the sulci, a dark tree of white matter inside."""
        part = self.cerebellum.crop(slab)
        if part is None:
            return
        depth = -self.cerebellum.distance(part)
        _, y, z = self.cerebellum.local(part)
        part.paint("grey matter", 0.06 - depth)
        angle = np.arctan2(y - 1.0, z - 0.2)
        radius = np.hypot(y - 1.0, z - 0.2)
        turn = angle * (11 / (2 * np.pi)) + self.folia
        # Folia curl with depth and are not quite regular.
        turn = turn + 0.2 * part.fields["lobules"] + 0.16 * radius
        phase = np.abs(turn - np.floor(turn) - 0.5)
        width = radius * (2 * np.pi / 11)
        sulcus = np.maximum((0.5 - phase) * width - 0.05, depth - 1.3)
        part.paint("cerebrospinal fluid", np.maximum(sulcus, -depth))
        part.paint("white matter", np.maximum(phase * width - 0.09, 0.42 - depth))
        part.paint("white matter", np.maximum(radius - 0.5, 0.5 - depth))


def _taper(coordinate: Array, middle: float, half_mm: float) -> Array:
    """Return 1 in the middle of a range and 0 at both of its ends, a parabola between."""
    scaled = (coordinate - middle) / half_mm
    weight: Array = np.maximum(1 - scaled * scaled, 0)
    return weight
