"""The monotone curve that brings the intensities of one image nearest to those of another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

__all__ = ["MonotoneMap", "fit_monotone_map"]

Array = NDArray[Any]

_BINS = 256


@dataclass(frozen=True)
class MonotoneMap:
    """A curve that never falls, straight between its knots and flat beyond the last ones.

    Attributes:
        knots: Intensities, rising.
        values: What they become.
    """

    knots: Array
    values: Array

    def __call__(self, image: Array) -> Array:
        """Return an image by the curve."""
        return np.asarray(np.interp(image, self.knots, self.values), np.float32)


def fit_monotone_map(source: Array, target: Array) -> MonotoneMap:
    """Return the curve with the least squared error, over bins of equally many voxels.

    Args:
        source: Intensities of the voxels.
        target: Intensities at the same places.

    Shape:
        Both ``(n,)``.

    Raises:
        ValueError: If there are no voxels, or not equally many.

    Source:
        R. E. Barlow et al., "Statistical Inference under Order Restrictions", Wiley 1972, by
        SciPy's ``isotonic_regression``.
    """
    if source.shape != target.shape or source.ndim != 1 or not source.size:
        raise ValueError(f"voxels must be two equal lists, got {source.shape} and {target.shape}")
    order = np.argsort(source, kind="stable")
    parts = np.array_split(order, min(_BINS, source.size))
    count = np.array([len(part) for part in parts], np.float64)
    knots = np.array([source[part].mean(dtype=np.float64) for part in parts])
    means = np.array([target[part].mean(dtype=np.float64) for part in parts])
    return MonotoneMap(knots, isotonic_regression(means, weights=count).x)
