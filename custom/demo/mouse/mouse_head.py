"""Skull, eyes, airways, jaw, glands and muscles of the head and neck."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from custom.demo.mouse.mouse_brain import Brain
from custom.demo.shapes import Capsule, Ellipsoid, paint_shells
from custom.demo.slab import Slab

__all__ = ["Head"]

Array = NDArray[np.float32]


class Head:
    """Everything in front of the neck.

    Args:
        rng: Random generator of the animal.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.brain = Brain(rng)
        shift = rng.normal(0.0, 0.2, 4)
        self.eye_mm = float(rng.normal(1.6, 0.06))
        self.eye = (4.3 + shift[0] / 2, -0.4 + shift[1], 36.6 + shift[2])
        self.skull_mm = float(rng.normal(0.42, 0.03))

    def paint(self, slab: Slab) -> None:
        """Paint the head into a slab that has its body wall and spine."""
        part = slab.crop((-9.0, -8.0, 17.0), (9.0, 10.0, 48.0))
        if part is None:
            return
        self._paint_glands(part)
        self._paint_jaw(part)
        self._paint_nose(part)
        self._paint_skull(part)
        for side in (-1, 1):
            self._paint_eye(part, side)
            _paint_ear(part, side)

    def _paint_skull(self, slab: Slab) -> None:
        """Paint bone with marrow, fluid and brain."""
        part = slab.crop((-6.5, -6.0, 21.0), (6.5, 5.0, 42.0))
        if part is None:
            return
        outline = self.brain.outline(part)
        gap = outline - 0.07
        part.paint("fat", np.maximum(gap - (self.skull_mm + 0.1), 23.4 - part.z))
        skull = np.maximum(gap - self.skull_mm, 23.4 - part.z)
        part.paint("cortical bone", skull)
        # Marrow in the thicker base of the skull.
        base = np.abs(gap - (self.skull_mm / 2)) - 0.1
        lumps = 0.2 - np.abs(part.fields["lobules"])
        part.paint("marrow", np.maximum(np.maximum(base, -lumps), 0.4 - part.y))
        part.paint("cerebrospinal fluid", gap)
        self.brain.paint(part)

    def _paint_eye(self, slab: Slab, side: int) -> None:
        """Paint the eye, its large lens, and the gland behind it."""
        x, y, z = self.eye
        gland = Ellipsoid((side * (x - 1.0), y + 0.9, z - 1.5), (1.2, 1.3, 1.5))
        paint_shells(slab, gland, ("gland", 0.0))
        radius = self.eye_mm
        eye = Ellipsoid((side * x, y, z), (radius, radius, radius))
        part = eye.crop(slab, 0.2)
        if part is not None:
            distance = eye.distance(part)
            part.paint("cortical bone", distance - 0.12)
            part.paint("grey matter", distance)
            part.paint("vitreous", distance + 0.2)
            lens = Ellipsoid((side * (x + 0.3), y, z), (0.95, 1.08, 1.08)).distance(part)
            part.paint("lens", lens)
            part.paint("cortical bone", lens + 0.5)

    def _paint_jaw(self, slab: Slab) -> None:
        """Paint mandible, teeth, tongue and the chewing muscles' tendons."""
        tongue = Ellipsoid((0.0, 4.1, 35.0), (1.7, 1.2, 5.0), 4.0)
        part = tongue.crop(slab, 0.3)
        if part is not None:
            part.paint("fluid", tongue.distance(part) - 0.1)
            part.paint("muscle", tongue.distance(part))
            fibres = np.abs(part.fields["lobules"]) * 0.8 - 0.05
            part.paint("fat", np.maximum(fibres, tongue.distance(part) + 0.3))
        for side in (-1, 1):
            for bone in (
                Capsule((side * 4.3, 3.0, 29.5), (side * 2.6, 5.0, 34.0), 0.55),
                Capsule((side * 2.6, 5.0, 34.0), (side * 0.7, 4.9, 41.5), 0.6),
                Capsule((side * 5.2, 1.0, 31.0), (side * 4.6, 1.0, 35.5), 0.35),
            ):
                layers = ("fat", 0.06), ("cortical bone", 0.0), ("marrow", -0.3)
                paint_shells(slab, bone, *layers, margin_mm=0.2)
            tooth = Capsule((side * 1.9, 2.6, 34.2), (side * 1.9, 2.6, 36.6), 0.65)
            paint_shells(slab, tooth, ("cortical bone", 0.0))

    def _paint_nose(self, slab: Slab) -> None:
        """Paint the nasal cavity with its scrolls of mucosa, and the throat."""
        cavity = Ellipsoid((0.0, 0.9, 41.0), (1.9, 1.7, 4.2))
        part = cavity.crop(slab, 0.4)
        if part is not None:
            distance = cavity.distance(part)
            part.paint("cortical bone", distance - 0.22)
            part.paint("gland", distance)
            scroll = np.abs(np.sin(4.2 * part.x + 1.4 * part.fields["septa"]))
            air = np.maximum(0.55 - scroll, distance * 2 + 0.5)
            part.paint("gas", air * 0.3)
        for tube, wall_mm in (
            (Capsule((0.0, 2.3, 38.0), (0.0, 2.7, 27.0), 0.5, 0.7), 0.28),
            (Capsule((0.0, 2.7, 27.0), (0.1, 1.2, 22.5), 0.7, 0.8), 0.3),
        ):
            paint_shells(slab, tube, ("gland", wall_mm), ("gas", 0.0), margin_mm=0.4)

    def _paint_glands(self, slab: Slab) -> None:
        """Paint salivary glands, lymph nodes, thyroid, vessels and fat of the neck."""
        for side in (-1, 1):
            for tissue, centre, radii in (
                ("gland", (side * 2.4, 5.0, 21.6), (2.1, 1.3, 3.0)),
                ("gland", (side * 5.2, 2.6, 23.6), (1.1, 1.8, 2.3)),
                ("spleen", (side * 3.0, 5.4, 26.2), (0.8, 0.6, 1.1)),
                ("spleen", (side * 1.1, 1.4, 20.3), (0.5, 0.6, 1.1)),
            ):
                solid = Ellipsoid(centre, radii)
                part = solid.crop(slab, 0.3)
                if part is not None:
                    distance = np.maximum(solid.distance(part), part.fields["body"] + 0.7)
                    part.paint("fat", distance - 0.15)
                    part.paint(tissue, distance)
                    lines = np.abs(part.fields["lobules"]) * 0.8 - 0.04
                    part.paint("muscle", np.maximum(lines, distance + 0.1))
            vein = Capsule((side * 2.6, 2.6, 28.0), (side * 1.9, 1.6, 18.0), 0.42)
            paint_shells(slab, vein, ("flowing blood", 0.0), margin_mm=0.1)


def _paint_ear(slab: Slab, side: int) -> None:
    """Paint the air-filled bulla of the middle ear, the cochlea and the ear canal."""
    bulla = Ellipsoid((side * 4.3, 2.0, 27.6), (1.25, 1.2, 1.5))
    paint_shells(slab, bulla, ("cortical bone", 0.18), ("gas", 0.0), margin_mm=0.3)
    cochlea = Ellipsoid((side * 3.5, 0.9, 28.0), (0.7, 0.7, 0.8))
    part = cochlea.crop(slab, 0.3)
    if part is not None:
        distance = cochlea.distance(part)
        part.paint("cortical bone", distance - 0.2)
        part.paint("fluid", np.abs(distance + 0.3) - 0.13)
    canal = Capsule((side * 4.6, 1.6, 27.4), (side * 6.8, 0.2, 26.4), 0.4)
    paint_shells(slab, canal, ("gas", 0.0))
