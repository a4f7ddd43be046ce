"""Means over signals, and ratios of two errors of the same signals, with standard errors."""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor

__all__ = ["Measured", "mean_of", "ratio_of"]


class Measured(NamedTuple):
    """A value and its standard error."""

    value: float
    error: float


def mean_of(values: Tensor) -> Measured:
    """Return the mean of independent values.

    Shape:
        ``values``: ``(n,)``, n at least 2.
    """
    values = values.double()
    return Measured(float(values.mean()), float(values.std()) / math.sqrt(len(values)))


def ratio_of(values: Tensor, reference: Tensor) -> Measured:
    r"""Return the ratio of the means of two errors of the same signals.

    To the first order its error is that of the mean of :math:`(a_i - r b_i) / \bar b`: variation
    that both share, from signals that are hard for every estimator, cancels.

    Args:
        values: Values of one estimator.
        reference: Values of the other, with a mean above 0.

    Shape:
        ``(n,)`` both, n at least 2.
    """
    values, reference = values.double(), reference.double()
    base = reference.mean()
    ratio = values.mean() / base
    return Measured(float(ratio), mean_of((values - ratio * reference) / base).error)
