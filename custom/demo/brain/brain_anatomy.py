"""Synthetic T1-weighted heads, each with its own folds, vessels and contrast."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from custom.demo.brain.brain_template import brain_template
from custom.demo.random_field import RandomField
from custom.demo.shapes import tube_distance

__all__ = ["BrainGrid", "Person", "make_head"]

Array = NDArray[np.float32]

_SIZE = 0.87  # of a brain relative to the template; adult brains vary by a tenth
_SHARPNESS = 0.07  # of a border between tissues, in units of probability
# Signal over that of white matter, by tissue.
_SIGNAL = {"csf": 0.22, "grey": 0.68, "white": 1.0}


@dataclass(frozen=True)
class BrainGrid:
    """Voxels of a scan."""

    shape: tuple[int, int, int]
    voxel_mm: float  # along each axis
    tilt_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)  # of the head about the scan's axes
    height_mm: float = 0.0  # of the grid's middle above that of the brain

    @property
    def axes_mm(self) -> list[Array]:
        """Coordinates along each axis, from the middle of the brain."""
        first, second, third = (
            self.voxel_mm * (np.arange(n, dtype=np.float32) - (n - 1) / 2) for n in self.shape
        )
        return [first, second, third + np.float32(self.height_mm)]

    @property
    def affine(self) -> NDArray[np.float64]:
        """Voxel index to RAS millimetres, with the origin in the middle of the brain."""
        affine = np.eye(4)
        turn = _rotation(self.tilt_deg)
        affine[:3, :3] = self.voxel_mm * turn
        middle = affine[:3, :3] @ (np.array(self.shape) - 1) / 2
        affine[:3, 3] = turn @ np.array([0.0, 0.0, self.height_mm]) - middle
        return affine


def make_head(grid: BrainGrid, seed: np.random.SeedSequence) -> Array:
    """Scan one person; return the magnitude in scanner units, about 0 to 2000."""
    person = Person(grid, np.random.default_rng(seed))
    grey, white, brain = brain_template().sample(person.template_points())
    tissues = person.fold(grey, white, brain)
    image = sum(
        (_SIGNAL[name] * person.uniform(0.95, 1.05)) * share for name, share in tissues.items()
    )
    image = image * person.texture()
    image = person.add_vessels(image, tissues["white"])
    image = person.add_skull(image, brain)
    return person.measure(image)


class Person:
    """The random properties of one person and scan.

    Args:
        grid: Voxels of the scan.
        rng: Draws the properties, in the order of the calls.
    """

    def __init__(self, grid: BrainGrid, rng: np.random.Generator) -> None:
        self.grid = grid
        self.rng = rng

    def uniform(self, low: float, high: float) -> np.float32:
        """Draw a number."""
        return np.float32(self.rng.uniform(low, high))

    def field(self, spacing_mm: float) -> Array:
        """Draw a smooth field of unit variance, no finer than the voxels."""
        spacing = max(spacing_mm, self.grid.voxel_mm)
        # More than cover the grid: the field is periodic and must not repeat within a head.
        size = [max(8, int(np.ceil(n * self.grid.voxel_mm / spacing)) + 4) for n in self.grid.shape]
        return RandomField(self.rng, [spacing] * 3, size)(self.grid.axes_mm, "xyz")

    def template_points(self) -> Array:
        """Return the position of each voxel in the average brain, ``(3, X, Y, Z)``."""
        mesh = np.stack(np.meshgrid(*self.grid.axes_mm, indexing="ij"))
        size = _SIZE * self.rng.uniform(0.96, 1.04, (3, 1)) * self.rng.uniform(0.96, 1.03)
        turn = (_rotation(self.grid.tilt_deg) / size).astype(np.float32)
        middle = brain_template().middle_mm.astype(np.float32).reshape(3, 1, 1, 1)
        points = (turn @ mesh.reshape(3, -1)).reshape(mesh.shape) + middle
        bend = np.stack([4 * self.field(30) + self.field(12) for _ in range(3)])
        return np.asarray(points + bend)

    def fold(self, grey: Array, white: Array, brain: Array) -> dict[str, Array]:
        """Turn the smooth average into sharp tissues with this person's folds."""
        folds = 0.2 * self.field(5) + 0.07 * self.field(2.5)
        scores = {
            "csf": np.clip(brain - grey - white, 0, 1) - folds,
            "grey": grey,
            "white": white + 0.5 * (folds + 0.1 * self.field(4)),
        }
        shares = {name: np.exp((score - 1) / _SHARPNESS) for name, score in scores.items()}
        total = sum(shares.values()) + 1e-12
        inside = np.clip(2 * brain - 0.5, 0, 1)
        return {name: share / total * inside for name, share in shares.items()}

    def texture(self) -> Array:
        """Return a multiplicative texture of a few percent at voxel scale."""
        fine, coarse = self.field(1.5), self.field(4)
        return np.asarray(1 + 0.025 * fine + 0.025 * coarse)

    def vessels(self) -> Array:
        """Return the share of each voxel that vessels, and the spaces around them, fill."""
        spacing = 14.0
        radius = max(0.7, 0.4 * self.grid.voxel_mm)
        distance = tube_distance(self.field(spacing), self.field(spacing), spacing, radius)
        return self.share(distance)

    def add_vessels(self, image: Array, white: Array) -> Array:
        """Draw bright vessels outside of white matter, and dark spaces around those in it."""
        share = self.vessels()
        signal = 1.5 * (1 - white) + 0.5 * white
        inside = share * (image > 0.05)
        return np.asarray(image + inside * (signal - image))

    def add_skull(self, image: Array, brain: Array) -> Array:
        """Add membranes, bone with marrow, fat and skin around the brain."""
        outside = ndimage.distance_transform_edt(brain < 0.5) * self.grid.voxel_mm
        depth = (outside * (1 + 0.12 * self.field(40)) + 0.3 * self.field(10)).astype(np.float32)
        # Outer edge of each layer, in millimetres from the brain, and its signal.
        layers = ((2.0, 0.25), (3.5, 0.06), (5.5, 0.45), (7.0, 0.06), (10.0, 1.15), (12.0, 0.55))
        shell, above = np.zeros_like(image), np.float32(0)
        for end, signal in reversed(layers):
            shell = shell + self.share(depth - np.float32(end)) * (np.float32(signal) - above)
            above = np.float32(signal)
        share = np.clip(2 * brain - 0.5, 0, 1)
        return np.asarray(image + (1 - share) * shell * (1 + 0.05 * self.field(2)))

    def measure(self, image: Array) -> Array:
        """Apply the coil's sensitivity, the receiver's gain and Rician noise."""
        sensitivity = np.exp(0.12 * self.field(90))
        sigma = self.uniform(0.008, 0.02)
        noise = self.rng.standard_normal((2, *image.shape), dtype=np.float32) * sigma
        gain = self.uniform(500, 1200)
        return np.asarray(gain * np.hypot(image * sensitivity + noise[0], noise[1]))

    def share(self, distance: Array) -> Array:
        """Return the share of each voxel that lies within a surface."""
        share = 0.5 - distance / self.grid.voxel_mm
        return np.asarray(np.clip(share, 0, 1))


def _rotation(angles_deg: tuple[float, float, float]) -> NDArray[np.float64]:
    """Return the product of turns about x, y and z."""
    result = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(angles_deg)):
        first, second = (other for other in range(3) if other != axis)
        turn = np.eye(3)
        turn[[first, second], [first, second]] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        result = result @ turn
    return result
