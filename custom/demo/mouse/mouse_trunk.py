"""Outline of a mouse, its skin, subcutaneous fat, muscles and forelimbs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from custom.demo.random_field import Profile
from custom.demo.shapes import Capsule, Ellipsoid, ellipse_distance, paint_shells
from custom.demo.slab import Slab

__all__ = ["Trunk"]

Array = NDArray[np.float32]

# Level along the body (mm, 0 at the diaphragm, towards the head), half width, half height and
# height of the centre (towards the belly).
_LEVELS = (-34.0, -22.0, -11.0, 0.0, 8.0, 15.0, 20.0, 25.0, 30.0, 35.0, 39.0, 43.0, 47.0)
_HALF_WIDTH = (9.0, 11.6, 11.8, 10.8, 9.8, 9.3, 8.0, 7.7, 7.6, 6.3, 4.5, 2.8, 1.2)
_HALF_HEIGHT = (8.0, 9.6, 9.7, 9.3, 8.8, 8.2, 7.2, 6.7, 6.2, 5.3, 4.0, 2.6, 1.2)
_CENTRE = (0.4, 0.4, 0.2, 0.0, 0.0, 0.4, 1.0, 1.3, 1.2, 1.2, 1.4, 1.8, 2.0)

_SKIN_MM = 0.38


class Trunk:
    """Body wall from the pelvis to the nose.

    Args:
        rng: Random generator of the animal.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        girth = rng.normal(1.0, 0.035)
        wobble = 1 + 0.025 * rng.standard_normal((2, len(_LEVELS)))
        self.half_width = Profile(_LEVELS, np.multiply(_HALF_WIDTH, girth * wobble[0]).tolist())
        self.half_height = Profile(_LEVELS, np.multiply(_HALF_HEIGHT, girth * wobble[1]).tolist())
        self.centre = Profile(_LEVELS, _CENTRE)
        self.fat_mm = float(rng.uniform(0.3, 0.6))
        shoulder = rng.normal(0.0, 0.4, 3)
        self.shoulder = (6.8 + 0.3 * shoulder[0], 2.2 + shoulder[1], 16.0 + shoulder[2])
        self.elbow = (7.2, 6.2 + 0.5 * shoulder[1], 12.6 + shoulder[2])

    def distance(self, slab: Slab) -> Array:
        """Return the distance to the skin's surface, negative inside."""
        radii = self.half_width(slab.z), self.half_height(slab.z)
        torso = ellipse_distance((slab.x, radii[0]), (slab.y - self.centre(slab.z), radii[1]))
        for side in (-1, 1):
            limb = self._limb(side)
            part = limb.crop(slab, 2.0)
            if part is not None:
                outline = slab.under(part, torso)
                outline[...] = _blend(outline, limb.distance(part) - 0.7)
        return torso

    def paint(self, slab: Slab) -> None:
        """Paint skin, fat and muscle; the slab must hold the fields named below."""
        body = slab.fields["body"]
        thickness = self.fat_mm * (1 + 0.9 * slab.fields["fat"])
        # The flanks and the belly carry more fat than the back.
        thickness = np.clip(thickness + 0.05 * (slab.y + 1), 0.05, 1.5)
        slab.paint("skin", body)
        slab.paint("fat", body + _SKIN_MM)
        muscle = body + _SKIN_MM + thickness
        slab.paint("muscle", muscle)
        # A thin muscle sheet (panniculus carnosus) runs inside the fat.
        sheet = np.abs(body + _SKIN_MM + 0.45 * thickness) - np.float32(0.05)
        slab.paint("muscle", sheet)
        self._paint_septa(slab, muscle)
        for side in (-1, 1):
            self._paint_limb(slab, side)
        self._paint_brown_fat(slab)

    def _paint_septa(self, slab: Slab, muscle: Array) -> None:
        """Separate the muscles by thin fat, thicker towards the surface."""
        septum = np.abs(slab.fields["septa"]) * 0.8
        width = 0.03 + 0.035 * slab.fields["fat"]
        slab.paint("fat", np.maximum(septum - width, muscle))

    def _limb(self, side: int) -> Capsule:
        """Return the upper arm of one side."""
        shoulder, elbow = (
            (side * point[0], point[1], point[2]) for point in (self.shoulder, self.elbow)
        )
        return Capsule(shoulder, elbow, 2.4, 1.7)

    def _paint_limb(self, slab: Slab, side: int) -> None:
        """Paint upper arm, humerus and shoulder blade."""
        limb = self._limb(side)
        part = limb.crop(slab)
        if part is not None:
            # A fat plane separates the arm from the chest wall.
            part.paint("fat", np.abs(limb.distance(part) + 0.05) - 0.14)
            bone = Capsule(limb.start, limb.end, 0.62, 0.5).distance(part)
            part.paint("cortical bone", bone)
            part.paint("marrow", bone + 0.24)
        blade = Ellipsoid((side * 5.2, -3.4, 14.5), (0.22, 2.6, 3.0), 18.0)
        paint_shells(slab, blade, ("cortical bone", 0.0))

    def _paint_brown_fat(self, slab: Slab) -> None:
        """Paint the interscapular pad with its two lobes and a dark vein between."""
        for side in (-1, 1):
            lobe = Ellipsoid((side * 1.7, -4.3, 15.8), (2.0, 1.1, 3.6), -6.0)
            part = lobe.crop(slab)
            if part is not None:
                distance = np.maximum(lobe.distance(part), part.fields["body"] + 0.7)
                part.paint("fat", distance - 0.22)
                part.paint("brown fat", distance)
                part.paint("fat", np.maximum(distance, _lines(part, 0.05)))


def _lines(slab: Slab, half_width_mm: float) -> Array:
    """Return the distance to the surfaces between lobules."""
    return np.abs(slab.fields["lobules"]) * np.float32(0.8) - half_width_mm


def _blend(first: Array, second: Array) -> Array:
    """Return the union of two solids, rounded where they meet."""
    width = 1.5  # mm
    overlap = np.clip(0.5 + (second - first) * (0.5 / width), 0, 1)
    rounded = second + (first - second) * overlap
    return np.asarray(rounded - width * overlap * (1 - overlap))
