"""Errors over the paper's mixture of noise levels, beside the Bayes limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from custom.analysis.dwi.estimators import Estimates, SignalEstimator
from custom.analysis.dwi.mixture_errors import (
    CITED,
    Errors,
    errors_of,
    extended_row,
    joined,
    mixture_row,
    times_limit,
)
from custom.analysis.dwi.samples import MM2_PER_S, NoisyLevel
from custom.data.datasets.signal_batches import LatticeSplit
from custom.physics.diffusion.noise import NoiseModel, PublishedLevels
from custom.physics.diffusion.posterior.mean import PosteriorMean
from custom.physics.diffusion.priors import BoxPrior, Draw, SignalPrior, TensorLattice
from custom.physics.diffusion.tensor import tensor_signal

__all__ = ["Mixture", "SignalMixture"]


@dataclass(frozen=True)
class Mixture:
    """Signals of held-out tensors of the lattice, equally many at each of the paper's levels.

    Attributes:
        truth: Noiseless signals and tensors, level after level.
        noisy: ``(n, M)``.
        sigma: ``(n, 1)``, of them.
    """

    truth: Draw
    noisy: Tensor
    sigma: Tensor

    def rows(self, index: Tensor) -> Mixture:
        """Return some of the signals."""
        if self.truth.tensor is None:
            raise ValueError("a mixture is of tensors")
        truth = Draw(self.truth.signal[index], self.truth.tensor[index])
        return Mixture(truth, self.noisy[index], self.sigma[index])


class SignalMixture:
    """The paper's mixture of noise levels, on tensors that no network was trained on.

    Args:
        split: The lattice's tensors; those of its test part are used.
        lattice: Prior of the exact limit.
        noise: Noise of the measurements.
        count: Number of signals, over all levels; at least two a level.
        limit_count: Number of these for which the limits are computed, at least two a level.
        seed: Seed of the choice and of the noise.
        settings: Settings of :class:`custom.physics.diffusion.posterior.mean.PosteriorMean`.

    Source:
        docs/methods/dwi_vae.md, "Results" and "Limit".
    """

    def __init__(
        self,
        split: LatticeSplit,
        lattice: TensorLattice,
        noise: NoiseModel,
        count: int,
        limit_count: int,
        seed: int = 0,
        **settings: Any,
    ) -> None:
        self.b_rows = split.simulation.b_rows
        self.noise, self.seed, self.lattice = noise, seed, lattice
        self.settings = settings
        self.values = PublishedLevels().values
        levels = len(self.values)
        each = count // levels
        self.mixture = _mixture(split, noise, self.values, each, seed)
        numbers = torch.arange(levels * each).reshape(levels, each)
        self.limits_of_level = numbers[:, : limit_count // levels]
        self.limit_index = self.limits_of_level.reshape(-1)

    def table(self, estimators: Sequence[SignalEstimator]) -> list[dict[str, Any]]:
        """Measure estimators, and return a row for each, the limits and the published ones last.

        Columns are those of :data:`custom.analysis.dwi.mixture_errors.Errors` with some standard
        errors. ``tensor_factor`` is the error of the noisy signals' tensors over that of the
        estimator's; ``times_limit`` is over the signals of the limit alone; the limit's own errors
        are those of the whole mixture, see
        :func:`custom.analysis.dwi.mixture_errors.extended_row`.
        """
        noisy = errors_of(Estimates(self.mixture.noisy), self.mixture.truth, self.b_rows)
        limits = self._limits()
        rows, complete = [], []
        for estimator in estimators:
            part, index = self._part(estimator.most_signals)
            found = estimator.estimate(part.noisy, part.sigma)
            errors = errors_of(found, part.truth, self.b_rows)
            unrestored = float(noisy["tensor_mse"][index].mean())
            row = mixture_row(estimator.name, errors, unrestored)
            if len(index) == len(self.mixture.noisy):
                complete.append(errors)
                row |= times_limit(errors, limits["limit"], self.limit_index)
            rows.append(row)
        for name, errors in limits.items():
            row = mixture_row(name, errors, 1.0) | times_limit(errors, limits["limit"])
            rows.append(extended_row(row, errors, complete, self.limit_index, noisy))
        return rows + [dict(row) for row in CITED]

    def _part(self, most: int | None) -> tuple[Mixture, Tensor]:
        """Return the signals for an estimator, spread over the levels, and their numbers."""
        count = len(self.mixture.noisy)
        if most is None or most >= count:
            return self.mixture, torch.arange(count)
        index = torch.linspace(0, count - 1, most).round().long()
        return self.mixture.rows(index), index

    def _limits(self) -> dict[str, Errors]:
        """Return the errors of posterior means.

        ``limit``: over the lattice, exact, with the mean tensor; ``limit (refitted)``: with the
        tensor fitted to its signals; the third is for the continuous prior, without the lattice.
        """
        lattice = self._levels(self.lattice)
        names = ("limit", "limit (refitted)", "posterior mean (any tensor)")
        return dict(zip(names, (*lattice, self._levels(BoxPrior())[0]), strict=True))

    def _levels(self, prior: SignalPrior) -> tuple[Errors, Errors]:
        """Return errors of the posterior mean at all levels: of its tensor, and of the refitted."""
        mean = PosteriorMean(prior, self.noise, self.b_rows, **self.settings)
        parts = [self._level(mean, number) for number in range(len(self.values))]
        own, refitted = zip(*parts, strict=True)
        return joined(own), joined(refitted)

    def _level(self, mean: PosteriorMean, number: int) -> tuple[Errors, Errors]:
        """Return errors of the posterior mean at one level: of its tensor, and of the refitted."""
        sigma = float(self.values[number])
        part = self.mixture.rows(self.limits_of_level[number])
        signal, tensor = part.noisy, part.truth.tensor
        corrected: Errors = {}
        if sigma > 0:  # else the posterior is a point
            posterior = mean(part.noisy, sigma, Generator().manual_seed(self.seed + 1))
            signal, tensor = posterior.whole.signal.float(), posterior.whole.tensor
            # Squared errors without that of the finite number of draws.
            level = NoisyLevel(sigma, part.truth, part.noisy, posterior)
            corrected["signal_mse"] = level.limit_errors()
            corrected["tensor_mse"] = level.limit_errors("tensor") * MM2_PER_S**2
        own = errors_of(Estimates(signal, tensor), part.truth, self.b_rows) | corrected
        return own, errors_of(Estimates(signal), part.truth, self.b_rows)


def _mixture(
    split: LatticeSplit, noise: NoiseModel, values: Tensor, each: int, seed: int
) -> Mixture:
    """Draw held-out tensors, without replacement if there are enough, and add noise."""
    generator = Generator().manual_seed(seed)
    count = each * len(values)
    rounds = -(-count // len(split.test))
    order = [torch.randperm(len(split.test), generator=generator) for _ in range(rounds)]
    tensor = split.test[torch.cat(order)[:count]]
    signal = tensor_signal(tensor, split.simulation.b_rows)
    sigma = values.repeat_interleave(each).unsqueeze(1)
    return Mixture(Draw(signal, tensor), noise.add(signal, sigma, generator), sigma)
