"""Simulated signals and their posterior means, computed once for all tables."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from custom.analysis.dwi.paired_errors import Measured, mean_of, ratio_of
from custom.physics.diffusion.noise import NoiseModel
from custom.physics.diffusion.posterior.limit import LimitEstimate, limit_of
from custom.physics.diffusion.posterior.mean import Posterior, PosteriorMean
from custom.physics.diffusion.priors import Draw, SignalPrior

__all__ = ["NoisyLevel", "SignalSamples", "squared_error"]

logger = logging.getLogger(__name__)

_MM2_PER_S = 1e-3  # one µm²/ms
_LEAST_ESS = 20.0  # effective draws of a signal, in the median


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

    def limit(self) -> LimitEstimate:
        """Return the error of the posterior mean, with its uncertainty."""
        return limit_of(self.truth, self.posterior)

    def limit_errors(self, of_tensor: bool = False) -> Tensor:
        """Return the squared error of the posterior mean for each signal, ``(n,)``.

        The posterior mean is itself estimated from draws. The product of the errors of two
        independent halves of the draws is free of their sampling error.
        """
        truth = self._truth(of_tensor)
        first, second = self._halves(of_tensor)
        return ((first - truth) * (second - truth)).mean(1)

    def excess_errors(self, estimate: Tensor, of_tensor: bool = False) -> Tensor:
        """Return the squared distance of estimates from the posterior mean, ``(n,)``."""
        first, second = self._halves(of_tensor)
        return ((estimate - first) * (estimate - second)).mean(1)

    def times_limit(self, estimate: Tensor, of_tensor: bool = False) -> Measured:
        """Return the mean squared error of estimates over that of the posterior mean."""
        errors = squared_error(estimate, self._truth(of_tensor))
        return ratio_of(errors, self.limit_errors(of_tensor))

    def excess(self, estimate: Tensor, of_tensor: bool = False) -> Measured:
        """Return the mean squared distance from the posterior mean over the latter's error.

        One less than :meth:`times_limit` in expectation, with a far smaller standard error.
        """
        return ratio_of(self.excess_errors(estimate, of_tensor), self.limit_errors(of_tensor))

    def _truth(self, of_tensor: bool) -> Tensor:
        value = self.truth.tensor if of_tensor else self.truth.signal
        if value is None:
            raise ValueError("of_tensor must be False: these signals are not of one tensor")
        return value.double()

    def _halves(self, of_tensor: bool) -> tuple[Tensor, Tensor]:
        """Return two independent estimates of the posterior mean; the same twice if it is exact."""
        whole = self.posterior.whole
        pair = self.posterior.halves or (whole, whole)
        first, second = (half.tensor if of_tensor else half.signal for half in pair)
        if first is None or second is None:
            raise ValueError("of_tensor must be False: these signals are not of one tensor")
        return first.double(), second.double()


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
            generator = Generator().manual_seed(self.seed + 2)  # the same noise, scaled
            noisy = self.add_noise(sigma, generator)
            # A separate generator: a level does not depend on those computed before.
            own = Generator().manual_seed(self.seed + 1)
            posterior = self.posterior_mean(noisy, sigma, own)
            self._levels[sigma] = NoisyLevel(sigma, self.truth, noisy, posterior)
        return self._levels[sigma]

    def add_noise(self, sigma: float, generator: Generator) -> Tensor:
        """Return the signals with noise, ``(n, M)``."""
        level = torch.full_like(self.truth.signal[:, :1], sigma)
        return self.noise.add(self.truth.signal, level, generator)

    def known(self, sigmas: Sequence[float]) -> list[float]:
        """Return the levels at which the posterior mean is known; a warning names the others.

        At weak noise shared draws of a prior are too sparse to estimate it.
        """
        usable = [s for s in sigmas if self.level(s).limit().ess_median >= _LEAST_ESS]
        left_out = [f"{sigma:g}" for sigma in sigmas if sigma not in usable]
        if left_out:
            logger.warning(
                "no limit is known at sigma %s: of all draws fewer than %g count there",
                ", ".join(left_out),
                _LEAST_ESS,
            )
        return usable

    def limits(self, sigmas: Sequence[float]) -> list[dict[str, float | None]]:
        """Return the limit at each level with its uncertainty, as rows of a table.

        Tensors are in (mm²/s)².
        """
        rows: list[dict[str, float | None]] = []
        for sigma in sigmas:
            found = self.level(sigma)
            limit = found.limit()
            errors = mean_of(found.limit_errors())
            row: dict[str, float | None] = {"sigma": sigma, "limit_signal_mse": errors.value}
            for name, value in vars(limit).items():
                scaled = name.startswith("tensor") and value is not None
                row[name] = value * _MM2_PER_S**2 if scaled else value
            rows.append(row)
        return rows
