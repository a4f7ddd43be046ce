"""What a restored volume holds beyond the frequencies that were measured."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

__all__ = ["unmeasured_band"]


def unmeasured_band(
    predicted: NDArray[Any], reference: NDArray[Any], scale: int = 2
) -> tuple[float, float]:
    r"""Compare two volumes beyond the band of a grid ``scale`` times coarser.

    With the cosine transforms :math:`P` and :math:`R` of the volumes, mirrored at their faces, over
    the frequencies that the coarse grid does not have along one axis or more:

    .. math:: \sum P^2 / \sum R^2, \qquad \sum P R / \sqrt{\sum P^2 \sum R^2}

    Invented texture is power without correlation.

    Args:
        predicted: Volume to judge.
        reference: Volume to compare with.
        scale: Ratio of the grids.

    Shape:
        Both ``(D, H, W)``.

    Returns:
        The power relative to the reference's, and the correlation, 0 where there is no power.

    Raises:
        ValueError: If the shapes differ, or the reference has no power there.
    """
    if predicted.shape != reference.shape:
        raise ValueError(
            f"predicted and reference must have the same shape, got {predicted.shape} and "
            f"{reference.shape}"
        )
    p, r = (fft.dctn(np.asarray(v, np.float64), norm="ortho") for v in (predicted, reference))
    beyond = np.ones(r.shape, dtype=bool)
    beyond[tuple(slice(length // scale) for length in r.shape)] = False
    p, r = p[beyond], r[beyond]
    power, truth = float(p @ p), float(r @ r)
    if truth == 0:
        raise ValueError("reference has no power beyond the band of the coarse grid")
    return power / truth, float(p @ r) / np.sqrt(power * truth) if power else 0.0
