"""Lungs, heart, great vessels, airways, ribs and breastbone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from custom.demo.shapes import Capsule, Ellipsoid, paint_shells, tube_distance
from custom.demo.slab import Slab

__all__ = ["Thorax"]

Array = NDArray[np.float32]

_WALL_MM = 2.2
_RIB_DEPTH_MM = 1.75
_TOP_MM = 17.0


class Thorax:
    """Organs between the neck and the diaphragm.

    Args:
        rng: Random generator of the animal.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        shift = rng.normal(0.0, 0.35, 3)
        size = rng.normal(1.0, 0.06)
        self.heart = Ellipsoid(
            (-0.9 + shift[0], 1.2 + shift[1], 7.3 + shift[2]),
            (4.0 * size, 3.7 * size, 4.9 * size),
            -14.0,
        )
        self.dome_mm = float(rng.normal(3.2, 0.5))
        self.rib_pitch_mm = float(rng.normal(1.95, 0.06))
        self.rib_phase = float(rng.uniform())
        self.wall_mm = float(rng.uniform(0.85, 1.25))

    def diaphragm(self, slab: Slab) -> Array:
        """Return the level above the diaphragm's dome."""
        dome = self.dome_mm - 0.075 * (slab.x**2 + (slab.y - 1) ** 2)
        level: Array = slab.z - np.maximum(dome, -6.0)
        return level

    def paint(self, slab: Slab) -> None:
        """Paint the thorax into a slab that has its body wall."""
        part = slab.crop((-12.0, -12.0, -7.0), (12.0, 12.0, _TOP_MM + 2))
        if part is None:
            return
        above = self.diaphragm(part)
        cavity = part.fields["body"] + _WALL_MM
        cavity = np.maximum(cavity, -3.6 - part.y - 0.3 * np.abs(part.x))
        top = part.z + 0.12 * part.x**2 - _TOP_MM
        cavity = np.maximum(np.maximum(cavity, top), -above)
        part.paint("lung", cavity)
        vessels = tube_distance(part.fields["tubes 1"], part.fields["tubes 2"], 1.1, 0.11)
        part.paint("slow blood", np.maximum(vessels, cavity + 0.5))
        self._paint_mediastinum(part, cavity)
        self._paint_heart(part)
        self._paint_tubes(part)
        self._paint_ribs(part, above)
        self._paint_breastbone(part, above)

    def _paint_mediastinum(self, slab: Slab, cavity: Array) -> None:
        """Paint the fat around the heart's base and the thymus."""
        for tissue, solid in (
            ("fat", Ellipsoid((0.0, 0.8, 12.0), (1.5, 3.4, 4.5))),
            ("gland", Ellipsoid((-1.0, 3.0, 12.6), (1.1, 1.0, 2.3))),
            ("gland", Ellipsoid((1.0, 3.1, 12.9), (1.0, 1.0, 2.0))),
        ):
            part = solid.crop(slab)
            if part is not None:
                inside = np.maximum(solid.distance(part), part.y - 6.2)
                part.paint(tissue, inside)
        part = slab.crop((-0.6, 1.5, -2.0), (0.6, 8.0, 14.0))
        if part is not None:
            sheet = np.abs(part.x + 0.12 * part.fields["lobules"]) - 0.1
            part.paint("fat", np.maximum(sheet, part.fields["body"] + 2.0))

    def _paint_heart(self, slab: Slab) -> None:
        """Paint pericardial fat, heart muscle, both ventricles and the atria."""
        part = self.heart.crop(slab, 0.6)
        if part is None:
            return
        outline = self.heart.distance(part)
        part.paint("fat", outline - 0.22 - 0.15 * part.fields["lobules"])
        part.paint("myocardium", outline)
        centre, radii = np.array(self.heart.centre), np.array(self.heart.radii)
        wall = self.wall_mm
        left = Ellipsoid(
            np.add(centre, (-0.9, -0.2, -0.4)), radii * (0.62, 0.66, 0.8) - wall * 0.4, -14.0
        )
        cavity = left.distance(part)
        # Papillary muscles leave notches in the ventricle.
        notches: Array = np.float32(0.25) * np.abs(part.fields["lobules"])
        part.paint("slow blood", cavity + notches)
        part.paint("flowing blood", cavity + 0.65)
        right = Ellipsoid(
            np.add(centre, (0.35 * radii[0], 0.4, 0.2)), radii * (0.52, 0.78, 0.72), -14.0
        )
        crescent = np.maximum(right.distance(part), 0.75 - cavity)
        part.paint("slow blood", np.maximum(crescent, outline + 0.45))
        for side in (-1, 1):
            atrium = Ellipsoid(np.add(centre, (side * 1.6, -0.6, 3.6)), (1.25, 1.4, 1.2))
            part.paint("myocardium", atrium.distance(part))
            part.paint("slow blood", atrium.distance(part) + 0.25)

    def _paint_tubes(self, slab: Slab) -> None:
        """Paint windpipe, gullet, aorta, caval vein and the great vessels of the neck."""
        heart = np.array(self.heart.centre)
        arch = np.add(heart, (-0.3, -1.0, 4.6))
        _paint_vessel(slab, Capsule(np.add(heart, (-0.2, -0.6, 2.6)), arch, 0.62))
        _paint_vessel(slab, Capsule(arch, (-0.7, -1.9, arch[2] - 1.2), 0.6, 0.55))
        _paint_vessel(slab, Capsule((0.7, 0.2, -3.0), np.add(heart, (1.3, -0.8, 2.0)), 0.62))
        for side in (-1, 1):
            _paint_vessel(
                slab, Capsule(np.add(heart, (side * 1.5, -0.6, 3.8)), (side * 1.9, 1.6, 20), 0.5)
            )
            root = np.add(heart, (0, -1, 3))
            _paint_vessel(slab, Capsule(root, (side * 2.6, -0.6, 8.5), 0.5, 0.3))
        for tube in (
            Capsule((0.1, 1.2, 23.0), (0.1, -1.2, 12.4), 0.8),
            Capsule((0.1, -1.2, 12.4), (1.9, -1.0, 9.8), 0.6, 0.45),
            Capsule((0.1, -1.2, 12.4), (-1.7, -1.0, 9.8), 0.6, 0.45),
        ):
            paint_shells(slab, tube, ("cartilage", 0.22), ("gas", 0.0), margin_mm=0.3)
        gullet = Capsule((-0.6, 0.4, 23.0), (-0.8, -2.6, 0.0), 0.6)
        part = gullet.crop(slab)
        if part is not None:
            distance = gullet.distance(part)
            part.paint("gut wall", distance)
            part.paint("muscle", np.abs(distance + 0.12) - 0.07)

    def _paint_ribs(self, slab: Slab, above: Array) -> None:
        """Paint slanting ribs with marrow, and the fat between the muscles of the wall."""
        body = slab.fields["body"]
        level = slab.z + 0.55 * (slab.y + 5.0)
        turn = level * (1 / self.rib_pitch_mm) + self.rib_phase
        along = (turn - np.floor(turn) - 0.5) * self.rib_pitch_mm
        depth = body + _RIB_DEPTH_MM
        rib = np.hypot(depth, along * 0.88) - 0.36
        limits = np.maximum(1.6 - np.abs(slab.x), slab.z - _TOP_MM)
        limits = np.maximum(limits, -4.8 - above)
        sheet = np.abs(depth + 0.42) - 0.05
        slab.paint("fat", np.maximum(sheet, limits))
        rib = np.maximum(rib, limits)
        slab.paint("cortical bone", rib)
        # Towards the belly ribs are cartilage; towards the back they hold marrow.
        slab.paint("cartilage", np.maximum(rib + 0.12, 3.0 - slab.y))
        slab.paint("marrow", np.maximum(rib + 0.19, slab.y - 2.6))

    def _paint_breastbone(self, slab: Slab, above: Array) -> None:
        """Paint the chain of sternal bones."""
        part = slab.crop((-1.4, 3.0, -4.0), (1.4, 10.0, 17.0))
        if part is None:
            return
        turn = part.z * 0.4 + self.rib_phase
        along = np.abs(turn - np.floor(turn) - 0.5) * 2.5
        distance = np.hypot(part.x, part.fields["body"] + 1.6) - 0.65
        distance = np.maximum(distance, part.z - 16.0)
        part.paint("cartilage", distance)
        bone = np.maximum(distance, along - 1.02)
        part.paint("cortical bone", bone)
        part.paint("marrow", bone + 0.2)


def _paint_vessel(slab: Slab, vessel: Capsule) -> None:
    """Paint a vessel whose blood flows too fast to give signal, with a thin bright wall."""
    part = vessel.crop(slab, 0.2)
    if part is not None:
        distance = vessel.distance(part)
        part.paint("gut wall", distance - 0.1)
        part.paint("flowing blood", distance)
