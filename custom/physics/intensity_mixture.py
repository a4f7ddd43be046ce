"""A mixture of normal distributions of a brain's intensities, and maps from one to another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtri_exp
from scipy.stats import norm

from custom.physics.monotone_map import MonotoneMap
from custom.setting_checks import check_choice

__all__ = ["WAYS", "IntensityMixture", "contrast_map", "fit_mixture"]

Array = NDArray[Any]

WAYS = ("transport", "hard", "blended")
"""How intensities move with the components.

``transport``: equal ranks stay equal; it never falls. ``hard``: each intensity moves with its
likeliest component (source); it jumps where components meet. ``blended``: with all components by
their probabilities; it falls in places in four of ten draws.
"""

_MOST_VALUES = 5000  # that a fit sees
_RANGE = (-1.0, 4.0)  # of the map; normalised brains run from 0 to 1
_KNOTS = 2001


@dataclass(frozen=True)
class IntensityMixture:
    """Weights, means and deviations of its components, ``(K,)`` each, by rising means."""

    weights: Array
    means: Array
    deviations: Array

    def score(self, values: Array) -> Array:
        """Return the normal score of the rank of values: the probit of the distribution.

        By logarithms on both sides of the median, so that far tails do not saturate.
        """
        z = (values[..., None] - self.means) / self.deviations
        below, above = (
            np.logaddexp.reduce(np.log(self.weights) + log_ndtr(side), axis=-1) for side in (z, -z)
        )
        low, high = (ndtri_exp(np.minimum(side, -1e-9)) for side in (below, above))
        return np.asarray(np.where(below < above, low, -high))

    def probabilities(self, values: Array) -> Array:
        """Return how likely each component has made each value, ``(..., K)``."""
        logs = np.log(self.weights) + norm.logpdf(values[..., None], self.means, self.deviations)
        return np.asarray(np.exp(logs - np.logaddexp.reduce(logs, axis=-1)[..., None]))


def fit_mixture(values: Array, components: int = 3) -> IntensityMixture:
    """Fit a mixture to the intensities of a brain: CSF, grey and white matter.

    Args:
        values: Intensities, ``(n,)``; of many, evenly many ranks are taken.
        components: Their number.

    Raises:
        ValueError: If there are fewer than ten values a component.

    Source:
        Maximum likelihood by scikit-learn's ``GaussianMixture``, from quantiles.
    """
    from sklearn.mixture import GaussianMixture  # type: ignore[import-untyped]

    if values.size < 10 * components:
        raise ValueError(f"{values.size} values are too few for {components} components")
    taken = np.sort(values.astype(np.float64))
    taken = taken[np.linspace(0, taken.size - 1, min(taken.size, _MOST_VALUES)).astype(int)]
    start = np.quantile(taken, (np.arange(components) + 0.3) / components)
    model = GaussianMixture(components, tol=1e-4, max_iter=200, means_init=start[:, None])
    model.fit(taken[:, None])
    order = np.argsort(model.means_[:, 0])
    return IntensityMixture(
        model.weights_[order],
        model.means_[order, 0],
        np.sqrt(model.covariances_[order, 0, 0]),
    )


def contrast_map(
    mixture: IntensityMixture,
    shifts: Array,
    widths: Array,
    way: str = "transport",
    steepest: float = 3.0,
) -> MonotoneMap:
    r"""Return the map of intensities that moves the components of a mixture.

    .. math:: v' = F'^{-1}(F(v))

    for ``transport``, with the distributions before and after.

    Args:
        mixture: Of the image.
        shifts: Added to the means, ``(K,)``.
        widths: Added to the deviations, of which at least 0.3 stay, ``(K,)``.
        way: One of :data:`WAYS`.
        steepest: Largest slope of ``transport``, in 1 and above; the median keeps its place.

    Raises:
        ValueError: If the way is unknown.

    Source:
        docs/methods/brain_3t7t_sr.md, "Contrast augmentation".
    """
    check_choice("way", way, WAYS)
    knots = np.linspace(*_RANGE, _KNOTS)
    means = mixture.means + shifts
    deviations = np.maximum(mixture.deviations + widths, 0.3 * mixture.deviations)
    if way == "transport":
        wide = np.linspace(_RANGE[0] - 2, _RANGE[1] + 4, 4 * _KNOTS)
        other = IntensityMixture(mixture.weights, means, deviations)
        made = np.interp(mixture.score(knots), np.maximum.accumulate(other.score(wide)), wide)
        return MonotoneMap(knots, _bounded(knots, made, steepest, mixture))
    moved = means + deviations * (knots[:, None] - mixture.means) / mixture.deviations
    chances = mixture.probabilities(knots)
    if way == "hard":
        return MonotoneMap(knots, moved[np.arange(len(knots)), chances.argmax(1)])
    return MonotoneMap(knots, (chances * moved).sum(1))


def _bounded(knots: Array, made: Array, steepest: float, mixture: IntensityMixture) -> Array:
    """Return a rising curve whose slope is bounded, through its value at the median."""
    slopes = np.clip(np.diff(made) / np.diff(knots), 0, steepest)
    curve = np.concatenate([[0.0], np.cumsum(slopes * np.diff(knots))])
    middle = np.argmin(np.abs(mixture.score(knots)))
    return np.asarray(curve - curve[middle] + made[middle])
