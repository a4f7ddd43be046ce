"""Signed distances to simple solids, in millimetres, negative inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from custom.demo.slab import Slab

__all__ = ["Capsule", "Ellipsoid", "ellipse_distance", "paint_shells", "tube_distance"]

Array = NDArray[np.float32]
Point = Sequence[float] | NDArray[np.floating[Any]]


def ellipse_distance(*terms: tuple[Array, Array | float]) -> Array:
    r"""Return the first-order distance to an ellipse or an ellipsoid about the origin.

    .. math:: d = k_0 (k_0 - 1) / k_1, \quad k_0 = |p / r|, \quad k_1 = |p / r^2|

    Exact for a sphere; elsewhere correct to first order at the surface.

    Args:
        terms: A coordinate and the half axis along it, for each axis.
    """
    inverse: list[Array] = [
        np.float32(1) / np.asarray(radius, dtype=np.float32) for _, radius in terms
    ]
    scaled = [coordinate * factor for (coordinate, _), factor in zip(terms, inverse, strict=True)]
    first = np.sqrt(_sum_of_squares(scaled))
    second = np.sqrt(
        _sum_of_squares([value * factor for value, factor in zip(scaled, inverse, strict=True)])
    )
    # k0 / k1 is a radius. In the centre, where both vanish, take the smallest half axis.
    tiny = np.float32(1e-6)
    largest = inverse[0]
    for factor in inverse[1:]:
        largest = np.maximum(largest, factor)
    distance: Array = (first - 1) * ((first + tiny) / (second + tiny * largest))
    return distance


def _sum_of_squares(values: Sequence[Array]) -> Array:
    """Return the sum of the squares of arrays of one shape."""
    total = np.square(values[0])
    for value in values[1:]:
        total += np.square(value)
    return total


def tube_distance(first: Array, second: Array, spacing_mm: float, radius_mm: float) -> Array:
    """Return the distance to the tubes along which two random fields are both zero.

    Args:
        first: A field of unit variance.
        second: Another one, independent of it.
        spacing_mm: Spacing of both; the mean gradient is about ``1.2 / spacing_mm``.
        radius_mm: Radius of the tubes.
    """
    scale = np.float32(spacing_mm / 1.2)
    return np.hypot(first, second) * scale - np.float32(radius_mm)


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid, turned about the left-right axis.

    Args:
        centre: Its ``x, y, z``.
        radii: Its half axes along ``x``, ``y``, ``z`` before it is turned.
        pitch_deg: Turn from ``z`` (head) towards ``y`` (belly).
    """

    centre: Point
    radii: Point
    pitch_deg: float = 0.0

    def crop(self, slab: Slab, margin_mm: float = 0.0) -> Slab | None:
        """Return the part of the slab that the shape can reach."""
        reach = np.array(self.radii, dtype=float)
        if self.pitch_deg:
            # The turn mixes y and z: the longer half axis bounds both.
            reach[1:] = reach[1:].max()
        centre = np.array(self.centre)
        return slab.crop(centre - reach - margin_mm, centre + reach + margin_mm)

    def local(self, slab: Slab) -> tuple[Array, Array, Array]:
        """Return the coordinates along the three half axes."""
        x, y, z = (
            values - np.float32(centre)
            for values, centre in zip((slab.x, slab.y, slab.z), self.centre, strict=True)
        )
        if self.pitch_deg:
            angle = np.deg2rad(self.pitch_deg)
            cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
            y, z = cos * y - sin * z, sin * y + cos * z
        return x, y, z

    def distance(self, slab: Slab) -> Array:
        """Return the distance to the surface."""
        return ellipse_distance(*zip(self.local(slab), self.radii, strict=True))


@dataclass(frozen=True)
class Capsule:
    """A straight tube with round ends, whose radius changes linearly.

    Args:
        start: ``x, y, z`` of the first end of the axis.
        end: The other one.
        radius: Radius at the first end.
        end_radius: Radius at the other end; None for the same.
    """

    start: Point
    end: Point
    radius: float
    end_radius: float | None = None

    def crop(self, slab: Slab, margin_mm: float = 0.0) -> Slab | None:
        """Return the part of the slab that the shape can reach."""
        reach = max(self.radius, self.end_radius or 0.0) + margin_mm
        ends = np.array([self.start, self.end])
        return slab.crop(ends.min(0) - reach, ends.max(0) + reach)

    def distance(self, slab: Slab) -> Array:
        """Return the distance to the surface."""
        axis = np.asarray(self.end, dtype=np.float32) - np.asarray(self.start, dtype=np.float32)
        x, y, z = (
            values - np.float32(start)
            for values, start in zip((slab.x, slab.y, slab.z), self.start, strict=True)
        )
        along = (x * axis[0] + y * axis[1] + z * axis[2]) / np.float32(axis @ axis)
        np.clip(along, 0, 1, out=along)
        change = np.float32((self.end_radius or self.radius) - self.radius)
        square = np.zeros_like(along)
        for offset, slope in zip((x, y, z), axis, strict=True):
            offset -= along * slope
            square += np.square(offset, out=offset)
        distance: Array = np.sqrt(square, out=square) - np.float32(self.radius) - change * along
        return distance


def paint_shells(
    slab: Slab, solid: Ellipsoid | Capsule, *shells: tuple[str, float], margin_mm: float = 0.0
) -> None:
    """Paint a solid in shells, the outermost first.

    Args:
        slab: The slab.
        solid: The solid.
        shells: Tissue of each shell, and how far (mm) it reaches beyond the solid's surface.
        margin_mm: Margin about the solid within which the slab is painted.
    """
    part = solid.crop(slab, margin_mm)
    if part is not None:
        distance = solid.distance(part)
        for tissue, beyond_mm in shells:
            part.paint(tissue, distance - beyond_mm)
