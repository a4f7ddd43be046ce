"""Smooth random fields and profiles for synthetic anatomy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.sparse import csr_array

__all__ = ["Profile", "RandomField"]

Array = NDArray[np.float32]

# Mean over position of the sum of squared cubic B-spline weights, 2 * 151 / 630.
_WEIGHT_POWER = 151 / 315


class RandomField:
    """A smooth, periodic, zero-mean Gaussian field in three dimensions.

    White noise on a regular grid, interpolated by cubic B-splines, with unit variance on average
    over position. It is evaluated on a tensor grid, one axis at a time, at the cost of a few
    operations per voxel for any spacing.

    Args:
        rng: Random generator.
        spacing_mm: Distance of the coefficients along x, y and z, which is also the size of the
            smallest features.
        size: Coefficients along x, y and z; the field repeats after ``size * spacing_mm``.

    Raises:
        ValueError: If a spacing is not positive or a size is below 4.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        spacing_mm: Sequence[float],
        size: Sequence[int] = (32, 32, 32),
    ) -> None:
        if min(spacing_mm) <= 0:
            raise ValueError(f"spacing_mm must be positive, got {tuple(spacing_mm)}")
        if min(size) < 4:
            raise ValueError(f"size must be at least 4 along each axis, got {tuple(size)}")
        self.spacing_mm = tuple(float(value) for value in spacing_mm)
        noise = rng.standard_normal(tuple(size), dtype=np.float32)
        # Interpolation multiplies the variance by the power along each of three axes.
        self.coefficients = noise * np.float32(_WEIGHT_POWER**-1.5)

    def __call__(self, coordinates_mm: Sequence[NDArray[np.floating]], order: str) -> Array:
        """Evaluate the field on a tensor grid.

        Args:
            coordinates_mm: The coordinates along each axis of the result.
            order: Axis of space of each of them, for example ``"zxy"``.

        Returns:
            Field of shape ``tuple(len(axis) for axis in coordinates_mm)``.
        """
        axes = ["xyz".index(letter) for letter in order]
        values = self.coefficients.transpose(axes)
        for position, axis in enumerate(axes):
            weights = _spline_weights(
                np.asarray(coordinates_mm[position]) / self.spacing_mm[axis],
                self.coefficients.shape[axis],
            )
            # A sparse product, not BLAS: its threads would fight those that make the scans.
            # The new axis goes last, so after three rounds the order is right again.
            rest = values.shape[1:]
            product = weights @ values.reshape(values.shape[0], -1)
            values = np.moveaxis(product.reshape(-1, *rest), 0, -1)
        return np.ascontiguousarray(values)


def _spline_weights(position: NDArray[np.floating], size: int) -> csr_array:
    """Return the ``(len(position), size)`` periodic cubic B-spline weights."""
    cell = np.floor(position)
    t = position - cell
    taps = np.stack(
        [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1
    )
    columns = (cell[:, None].astype(int) + np.arange(-1, 3)) % size
    rows = np.arange(0, 4 * len(position) + 1, 4)
    shape = (len(position), size)
    return csr_array(((taps / 6).astype(np.float32).ravel(), columns.ravel(), rows), shape=shape)


class Profile:
    """A smooth function of one coordinate, as a fine lookup table.

    Monotone cubic (PCHIP) between the knots, constant beyond them.

    Args:
        knots_mm: Increasing coordinates.
        values: The value at each knot.
    """

    step = 0.02  # mm, of the table

    def __init__(self, knots_mm: Sequence[float], values: Sequence[float]) -> None:
        self.start = float(knots_mm[0])
        grid = np.arange(self.start, float(knots_mm[-1]) + self.step, self.step)
        curve = PchipInterpolator(np.asarray(knots_mm), np.asarray(values))
        # The grid may step past the last knot, where PCHIP extrapolates.
        self.table: Array = curve(np.minimum(grid, knots_mm[-1])).astype(np.float32)

    def __call__(self, coordinate_mm: Array) -> Array:
        """Return the value at each coordinate, which may have any shape."""
        index = ((coordinate_mm - np.float32(self.start)) * np.float32(1 / self.step)).astype(
            np.intp
        )
        return self.table.take(index, mode="clip")
