"""One thick slice of an animal, painted tissue by tissue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from custom.demo.random_field import RandomField
from custom.demo.rare_signal import Tissue, rare_signal

__all__ = ["Slab", "SlabGrid"]

Array = NDArray[np.float32]


@dataclass(frozen=True)
class SlabGrid:
    """Coordinates of a slab's points in the scanner.

    Args:
        axes_mm: Coordinates along each axis of the arrays: slice normal, first and second
            in-plane axis.
        order: Axis of space of each of them, for example ``"zxy"``. ``x`` points to the animal's
            right, ``y`` to its belly, ``z`` to its head.
    """

    axes_mm: tuple[Array, Array, Array]
    order: str

    def field(self, field: RandomField) -> Array:
        """Evaluate a random field at the points."""
        return field(self.axes_mm, self.order)


@dataclass(eq=False)
class Slab:
    """Signal and tissue at the points of a slab, painted in the order of the calls.

    Boundaries are soft over one sample, so that a structure thinner than a sample contributes in
    proportion to its volume. All arrays are float32: a Python float does not promote them, a
    NumPy scalar of float64 does.

    Args:
        grid: Coordinates of the points.
        x: Anatomical ``x`` of each point, after deformation, ``(K, A, B)``.
        y: The same of ``y``.
        z: The same of ``z``.
        reach_mm: Largest displacement along x, y and z.
        fields: Named fields, ``(K, A, B)`` each; ``"density"`` and ``"relaxation"`` are the
            small-scale texture of the tissues.
        tissues: The animal's tissues by name.
        edge_mm: Width of a boundary.
        signal: Signal so far, changed in place.
        codes: Tissue code so far, changed in place.
    """

    grid: SlabGrid
    x: Array
    y: Array
    z: Array
    reach_mm: Sequence[float]
    fields: dict[str, Array]
    tissues: dict[str, Tissue]
    edge_mm: float
    signal: Array
    codes: NDArray[np.uint8]

    def crop(self, low_mm: Sequence[float], high_mm: Sequence[float]) -> Slab | None:
        """Return the part of the slab that can hold a box, as views, or None if it has none.

        Args:
            low_mm: Smallest anatomical ``x, y, z`` of the box.
            high_mm: Largest ones.
        """
        window = []
        for letter, axis in zip(self.grid.order, self.grid.axes_mm, strict=True):
            number = "xyz".index(letter)
            margin = self.reach_mm[number] + self.edge_mm
            first, last = np.searchsorted(axis, [low_mm[number] - margin, high_mm[number] + margin])
            if first >= last:
                return None
            window.append(slice(int(first), int(last)))
        index = tuple(window)
        axes = [axis[part] for axis, part in zip(self.grid.axes_mm, window, strict=True)]
        parts = {name: getattr(self, name)[index] for name in ("x", "y", "z", "signal", "codes")}
        fields = {name: values[index] for name, values in self.fields.items()}
        grid = SlabGrid((axes[0], axes[1], axes[2]), self.grid.order)
        return replace(self, grid=grid, fields=fields, **parts)

    def under(self, part: Slab, values: Array) -> Array:
        """Return, as a view, the part of an array on this slab that a crop of it covers."""
        index = []
        for axis, window in zip(self.grid.axes_mm, part.grid.axes_mm, strict=True):
            first = int(np.searchsorted(axis, window[0]))
            index.append(slice(first, first + len(window)))
        return values[tuple(index)]

    def paint(self, tissue: str, distance_mm: Array) -> None:
        """Fill the inside of a surface with a tissue.

        Args:
            tissue: Name of the tissue.
            distance_mm: Signed distance to the surface at each point, negative inside.
        """
        inside = np.float32(0.5) - distance_mm / self._edge_width(distance_mm)
        np.clip(inside, 0, 1, out=inside)
        if not inside.any():
            return
        kind = self.tissues[tissue]
        np.copyto(self.codes, np.uint8(kind.code), where=inside > 0.5)
        inside *= self._tissue_signal(kind) - self.signal
        self.signal += inside

    def _edge_width(self, distance_mm: Array) -> Array | np.float32:
        """Return the width over which a boundary is soft at each point.

        A slanting boundary crosses the gap to the next depth over several samples; softened by
        the change of its distance over that gap, it leaves no copies of itself at each depth.
        """
        if len(distance_mm) < 2:
            return np.float32(self.edge_mm)
        change = np.abs(np.diff(distance_mm, axis=0))
        width = np.empty_like(distance_mm)
        width[0], width[-1] = change[0], change[-1]
        np.maximum(change[:-1], change[1:], out=width[1:-1])
        return np.maximum(width, np.float32(self.edge_mm), out=width)

    def _tissue_signal(self, tissue: Tissue) -> Array | float:
        """Return the signal of a tissue with its texture."""
        if tissue.texture == 0:
            return rare_signal(tissue.proton_density, tissue.t1_ms, tissue.t2_ms)
        # The fields are bounded (2.5 standard deviations) and textures below 0.4, so density and
        # T2 stay positive.
        density = self.fields["density"] * np.float32(tissue.texture * tissue.proton_density)
        density += np.float32(tissue.proton_density)
        t2_ms = self.fields["relaxation"] * np.float32(0.5 * tissue.texture * tissue.t2_ms)
        t2_ms += np.float32(tissue.t2_ms)
        return rare_signal(density, tissue.t1_ms, t2_ms)
