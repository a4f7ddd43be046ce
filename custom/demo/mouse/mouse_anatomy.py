"""A whole mouse, sampled on any thick slice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from custom.demo.mouse.mouse_abdomen import Abdomen
from custom.demo.mouse.mouse_head import Head
from custom.demo.mouse.mouse_spine import Spine
from custom.demo.mouse.mouse_thorax import Thorax
from custom.demo.mouse.mouse_trunk import Trunk
from custom.demo.random_field import RandomField
from custom.demo.rare_signal import vary_tissues
from custom.demo.slab import Slab, SlabGrid

__all__ = ["PLANE_AXES", "Mouse", "MouseSlice", "Plane"]

Array = NDArray[np.float32]
Plane = Literal["axial", "coronal", "sagittal"]

# First in-plane axis, second in-plane axis, slice normal.
PLANE_AXES: dict[Plane, str] = {"axial": "xyz", "coronal": "xzy", "sagittal": "yzx"}

# Name: (spacing in mm along x, y, z; coefficients along each axis).
_FIELDS: dict[str, tuple[tuple[float, float, float], int]] = {
    "density": ((0.35, 0.35, 0.35), 32),
    "relaxation": ((0.6, 0.6, 0.6), 24),
    "fat": ((3.5, 3.5, 3.5), 24),
    "septa": ((1.0, 1.0, 4.0), 24),
    "lobules": ((0.9, 0.9, 0.9), 32),
    "tubes 1": ((1.1, 1.1, 1.1), 32),
    "tubes 2": ((1.1, 1.1, 1.1), 32),
    "fissures": ((5.0, 5.0, 5.0), 12),
}
# Keeps density and T2 positive with the strongest texture, see Slab.
_TEXTURE_LIMIT = 2.5


@dataclass(frozen=True)
class MouseSlice:
    """Signal and tissues of an excited slice.

    Args:
        signal: Complex transverse magnetisation at echo time, averaged through the slice,
            ``(A, B)``; muscle is near 0.17, fluid near 0.6.
        codes: Tissue code where all of the slice's depth agrees, 255 elsewhere, ``(A, B)``.
    """

    signal: NDArray[np.complex64]
    codes: NDArray[np.uint8]


class Mouse:
    """One animal, with its outline, organs, tissues, deformation, coil position and phase.

    Args:
        seed: Number of the animal; the same number gives the same animal.
    """

    def __init__(self, seed: int | np.random.SeedSequence) -> None:
        rng = np.random.default_rng(seed)
        self.tissues = vary_tissues(rng)
        self.trunk = Trunk(rng)
        self.spine = Spine(rng)
        self.thorax = Thorax(rng)
        self.abdomen = Abdomen(rng, self.thorax)
        self.head = Head(rng)
        self.fields = {
            name: RandomField(rng, spacing, (size,) * 3)
            for name, (spacing, size) in _FIELDS.items()
        }
        # Displacements in mm: posture, and the irregularity of each organ's surface.
        self.posture = [RandomField(rng, (9.0,) * 3, (12,) * 3) for _ in range(3)]
        self.irregularity = [RandomField(rng, (2.4,) * 3, (32,) * 3) for _ in range(3)]
        self.coil = RandomField(rng, (14.0,) * 3, (8,) * 3)
        self.phase = RandomField(rng, (12.0,) * 3, (8,) * 3)
        self.coil_height_mm = float(rng.uniform(24.0, 32.0))
        self.coil_side_mm = float(rng.normal(0.0, 3.0))

    def slice(
        self,
        plane: Plane,
        first_mm: Array,
        second_mm: Array,
        normal_mm: float,
        thickness_mm: float,
        depths: int = 3,
    ) -> MouseSlice:
        """Sample a thick slice.

        Args:
            plane: Orientation of the slice.
            first_mm: Coordinates along its first axis (:data:`PLANE_AXES`), increasing.
            second_mm: Coordinates along its second axis, increasing.
            normal_mm: Coordinate of its middle along the normal.
            thickness_mm: Its thickness.
            depths: Thin slices averaged over the thickness (partial volume).

        Raises:
            ValueError: If ``depths`` is below 1.
        """
        if depths < 1:
            raise ValueError(f"depths must be at least 1, got {depths}")
        offsets = (np.arange(depths) + 0.5) / depths - 0.5
        normal = (normal_mm + thickness_mm * offsets).astype(np.float32)
        axes = PLANE_AXES[plane]
        grid = SlabGrid((normal, first_mm, second_mm), axes[2] + axes[:2])
        slab = self._slab(grid, float(first_mm[1] - first_mm[0]))
        self._paint(slab)
        codes = slab.codes[0].copy()
        codes[(slab.codes != codes).any(axis=0)] = 255
        signal = (slab.signal * self._sensitivity(grid)).mean(axis=0)
        middle = SlabGrid((normal[depths // 2 : depths // 2 + 1], first_mm, second_mm), grid.order)
        # Of the middle depth alone: it changes over 12 mm, and a slice is far thinner.
        phase = 0.6 * middle.field(self.phase)[0]
        return MouseSlice((signal * np.exp(1j * phase)).astype(np.complex64), codes)

    def _slab(self, grid: SlabGrid, edge_mm: float) -> Slab:
        """Return an empty slab with deformed positions and fields."""
        positions, reach = [], []
        for number, letter in enumerate("xyz"):
            shift = grid.field(self.posture[number]) * 0.55
            shift += grid.field(self.irregularity[number]) * 0.13
            axis = grid.order.index(letter)
            shape = [1, 1, 1]
            shape[axis] = -1
            positions.append(shift + grid.axes_mm[axis].reshape(shape).astype(np.float32))
            reach.append(float(np.abs(shift).max()))
        fields = {name: grid.field(field) for name, field in self.fields.items()}
        for name in ("density", "relaxation"):
            np.clip(fields[name], -_TEXTURE_LIMIT, _TEXTURE_LIMIT, out=fields[name])
        x, y, z = positions
        signal, codes = np.zeros(x.shape, np.float32), np.zeros(x.shape, np.uint8)
        return Slab(grid, x, y, z, reach, fields, self.tissues, edge_mm, signal, codes)

    def _paint(self, slab: Slab) -> None:
        """Paint the animal from the skin inwards."""
        slab.fields["body"] = self.trunk.distance(slab)
        self.trunk.paint(slab)
        self.thorax.paint(slab)
        self.abdomen.paint(slab)
        self.spine.paint(slab)
        self.head.paint(slab)

    def _sensitivity(self, grid: SlabGrid) -> Array:
        """Return the receive sensitivity of a coil above the back, about 1 in the middle."""
        x, y = (
            grid.axes_mm[grid.order.index(letter)].reshape(
                [-1 if axis == letter else 1 for axis in grid.order]
            )
            for letter in "xy"
        )
        height = np.float32(self.coil_height_mm)
        distance = np.hypot((y + height) / height, (x - np.float32(self.coil_side_mm)) / height)
        falloff = np.exp(-0.55 * (distance - 1))
        return np.asarray(falloff * np.exp(0.06 * grid.field(self.coil)), np.float32)
