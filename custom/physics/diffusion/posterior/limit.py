"""The least mean squared error that an estimator can have, with its uncertainty."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from custom.physics.diffusion.posterior.mean import Posterior
from custom.physics.diffusion.priors import Draw

__all__ = ["LimitEstimate", "limit_of"]


@dataclass(frozen=True)
class LimitEstimate:
    """The mean squared error of the posterior mean over some signals, and its uncertainty.

    Attributes:
        signal_mse: Mean squared error of the noiseless signal, in units of ``S_0`` squared.
        signal_mse_se: Its standard error, over the signals.
        signal_variance: Mean posterior variance. It has the expectation of ``signal_mse`` and
            varies less; a significant difference of the two means that the draws were too few.
        signal_variance_se: Its standard error.
        tensor_mse: Mean over the six elements, in (µm²/ms)²; times 1e-6 it is in (mm²/s)². None
            where the prior has no tensors.
        tensor_mse_se: Its standard error.
        tensor_variance: As ``signal_variance``.
        tensor_variance_se: Its standard error.
        ess_median: Median effective number of draws.
        ess_low: The smallest.
        half_difference: Error from half of the draws over that from all of them, less 1.
        sampling_share: Share of ``signal_mse`` that is due to the finite number of draws, from the
            difference of the two halves. With ``half_difference`` it is 0 where the sum is exact.
    """

    signal_mse: float
    signal_mse_se: float
    signal_variance: float
    signal_variance_se: float
    tensor_mse: float | None
    tensor_mse_se: float | None
    tensor_variance: float | None
    tensor_variance_se: float | None
    ess_median: float
    ess_low: float
    half_difference: float
    sampling_share: float


def limit_of(truth: Draw, posterior: Posterior) -> LimitEstimate:
    """Compare posterior means with the noiseless signals.

    Args:
        truth: ``n`` signals, at least 2.
        posterior: Posterior of their noisy measurements.
    """
    whole = posterior.whole
    error, variance = _mean_error(whole.signal, truth.signal), _mean(whole.signal_variance)
    half_difference = sampling_share = 0.0
    if posterior.halves is not None:
        one, other = (half.signal for half in posterior.halves)
        halves = _mean_error(one, truth.signal)[0] + _mean_error(other, truth.signal)[0]
        half_difference = halves / 2 / error[0] - 1
        # The mean of two independent estimates has a quarter of the variance of their difference.
        sampling_share = float((one - other).square().mean()) / 4 / error[0]
    tensor_error: tuple[float, float] | tuple[None, None] = None, None
    tensor_variance: tuple[float, float] | tuple[None, None] = None, None
    if whole.tensor is not None and truth.tensor is not None:
        tensor_error = _mean_error(whole.tensor, truth.tensor)
    if whole.tensor_variance is not None:
        tensor_variance = _mean(whole.tensor_variance)
    sizes = float(whole.effective_size.median()), float(whole.effective_size.min())
    pairs = [*error, *variance, *tensor_error, *tensor_variance]
    values: list[Any] = [*pairs, *sizes, half_difference, sampling_share]
    return LimitEstimate(*values)


def _mean_error(estimate: Tensor, truth: Tensor) -> tuple[float, float]:
    """Return the mean squared error and its standard error."""
    return _mean((estimate - truth).square())


def _mean(values: Tensor) -> tuple[float, float]:
    """Return the mean of values ``(n, F)``, and its standard error over the rows."""
    rows = values.double().mean(1)
    return float(rows.mean()), float(rows.std() / math.sqrt(len(rows)))
