"""Simulated signals and their posterior means, computed once for all tables, and errors there."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Generator, Tensor

from custom.physics.diffusion.noise import NoiseModel
from custom.physics.diffusion.posterior.limit import LimitEstimate, limit_of
from custom.physics.diffusion.posterior.mean import Posterior, PosteriorMean
from custom.physics.diffusion.priors import Draw, SignalPrior

__all__ = [
    "MM2_PER_S",
    "Measured",
    "NoisyLevel",
    "Quantity",
    "SignalSamples",
    "columns_of",
    "mean_of",
    "ratio_of",
    "squared_error",
]

logger = logging.getLogger(__name__)

MM2_PER_S = 1e-3  # one µm²/ms
# Of 200,000 draws of ball and sticks 500 count at sigma 0.4, and 19 at 0.2: no limit there.
_LEAST_ESS = 20.0  # effective draws of a signal, in the median

Quantity = Literal["signal", "tensor"]


class Measured(NamedTuple):
    """A value and its standard error."""

    value: float
    error: float


def columns_of(measured: Mapping[str, Measured]) -> dict[str, float]:
    """Return values by name, each followed by its standard error under ``<name>_se``."""
    pairs = ({name: value, f"{name}_se": error} for name, (value, error) in measured.items())
    return {name: number for pair in pairs for name, number in pair.items()}


def mean_of(values: Tensor) -> Measured:
    """Return the mean of independent values ``(n,)``, n at least 2."""
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


def squared_error(estimate: Tensor, truth: Tensor) -> Tensor:
    """Return the mean squared error of each signal or tensor, ``(n,)``."""
    return (estimate.double() - truth.double()).square().mean(1)


@dataclass(frozen=True)
class NoisyLevel:
    """Signals at one noise level, and their posterior means.

    Attributes:
        sigma: Noise level, in units of ``S_0``.
        truth: Noiseless signals, and their tensors if they have some.
        noisy: ``(n, M)``.
        posterior: Posterior moments of the noisy signals.
    """

    sigma: float
    truth: Draw
    noisy: Tensor
    posterior: Posterior

    @property
    def levels(self) -> Tensor:
        """Noise levels ``(n, 1)``, as networks take them."""
        return torch.full_like(self.noisy[:, :1], self.sigma)

    def first(self, count: int | None) -> NoisyLevel:
        """Return the level with its first ``count`` signals only."""
        if count is None or count >= len(self.noisy):
            return self
        truth, posterior = self.truth.first(count), self.posterior.first(count)
        return NoisyLevel(self.sigma, truth, self.noisy[:count], posterior)

    def limit_errors(self, quantity: Quantity = "signal") -> Tensor:
        """Return the squared error of the posterior mean for each signal, ``(n,)``.

        The posterior mean is itself estimated from draws. The product of the errors of two
        independent halves of the draws is free of their sampling error.
        """
        truth, first, second = self._truth_and_halves(quantity)
        return ((first - truth) * (second - truth)).mean(1)

    def compared(self, estimate: Tensor, quantity: Quantity = "signal") -> dict[str, Measured]:
        """Compare estimates with the truth and with the posterior mean.

        Returns:
            ``mse``: mean squared error, that of tensors in (mm²/s)²; ``times_limit``: the same over
            that of the posterior mean; ``excess``: the mean squared distance from the posterior
            mean over the latter's error, one less than ``times_limit`` in expectation, with a far
            smaller standard error. For the posterior mean itself these are 1 and 0.
        """
        limit = self.limit_errors(quantity)
        truth, first, second = self._truth_and_halves(quantity)
        # Measured through its halves, the limit would be 1 and 0 on average only.
        if estimate is getattr(self.posterior.whole, quantity):
            mse, times, excess = mean_of(limit), Measured(1.0, 0.0), Measured(0.0, 0.0)
        else:
            errors = squared_error(estimate, truth)
            mse, times = mean_of(errors), ratio_of(errors, limit)
            excess = ratio_of(((estimate - first) * (estimate - second)).mean(1), limit)
        unit = MM2_PER_S**2 if quantity == "tensor" else 1.0
        mse = Measured(mse.value * unit, mse.error * unit)
        return {"mse": mse, "times_limit": times, "excess": excess}

    def _truth_and_halves(self, quantity: Quantity) -> tuple[Tensor, Tensor, Tensor]:
        """Return the truth and two independent posterior means, the same twice if it is exact."""
        whole = self.posterior.whole
        sources = (self.truth, *(self.posterior.halves or (whole, whole)))
        values = [getattr(source, quantity) for source in sources]
        if any(value is None for value in values):
            raise ValueError("quantity must be signal: these signals are not of one tensor")
        truth, first, second = (value.double() for value in values)
        return truth, first, second


class SignalSamples:
    """Signals of a prior at any noise level, each level computed once.

    Args:
        prior: Prior of the signals.
        noise: Noise of the measurements.
        b_rows: ``(M, 6)`` of :func:`custom.physics.diffusion.tensor.b_matrix`.
        count: Number of signals, the same at each level.
        seed: Seed of everything random.
        settings: Settings of :class:`custom.physics.diffusion.posterior.mean.PosteriorMean`.
    """

    def __init__(
        self,
        prior: SignalPrior,
        noise: NoiseModel,
        b_rows: Tensor,
        count: int,
        seed: int = 0,
        **settings: Any,
    ) -> None:
        self.noise, self.b_rows, self.seed = noise, b_rows, seed
        self.truth = prior.draw(count, b_rows, Generator().manual_seed(seed))
        self.posterior_mean = PosteriorMean(prior, noise, b_rows, **settings)
        self._levels: dict[float, NoisyLevel] = {}

    def level(self, sigma: float) -> NoisyLevel:
        """Return the signals at a noise level above 0."""
        if sigma not in self._levels:
            # The same noise at each level, scaled; and a separate generator for the posterior, so
            # that a level does not depend on those computed before.
            noise, own = (Generator().manual_seed(self.seed + use) for use in (2, 1))
            levels = torch.full_like(self.truth.signal[:, :1], sigma)
            noisy = self.noise.add(self.truth.signal, levels, noise)
            posterior = self.posterior_mean(noisy, sigma, own)
            self._levels[sigma] = NoisyLevel(sigma, self.truth, noisy, posterior)
        return self._levels[sigma]

    def known(self, sigmas: Sequence[float]) -> list[float]:
        """Return the levels at which the posterior mean is known; a warning names the others.

        At weak noise shared draws of a prior are too sparse to estimate it.
        """
        usable = [s for s in sigmas if self._limit(s).ess_median >= _LEAST_ESS]
        left_out = [f"{sigma:g}" for sigma in sigmas if sigma not in usable]
        if left_out:
            logger.warning(
                "no limit is known at sigma %s: of all draws fewer than %g count there",
                ", ".join(left_out),
                _LEAST_ESS,
            )
        return usable

    def limits(self, sigmas: Sequence[float]) -> list[dict[str, float | None]]:
        """Return the limit at each level with its uncertainty, as rows; tensors in (mm²/s)²."""
        rows: list[dict[str, float | None]] = []
        for level in map(self.level, sigmas):
            limit = {
                name: value * MM2_PER_S**2 if name.startswith("tensor") and value else value
                for name, value in vars(self._limit(level.sigma)).items()
            }
            error = mean_of(level.limit_errors()).value
            rows.append({"sigma": level.sigma, "limit_signal_mse": error, **limit})
        return rows

    def _limit(self, sigma: float) -> LimitEstimate:
        """Return the error of the posterior mean at a level, with its uncertainty."""
        return limit_of(self.truth, self.level(sigma).posterior)
