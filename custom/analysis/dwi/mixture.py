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
    MixtureErrors,
    errors_of,
    extended_row,
    joined,
    mixture_row,
    times_limit,
)
from custom.analysis.dwi.samples import NoisyLevel
from custom.data.datasets.signal_batches import LatticeSplit
from custom.physics.diffusion.noise import NoiseModel, PublishedLevels
from custom.physics.diffusion.posterior.mean import PosteriorMean
from custom.physics.diffusion.priors import BoxPrior, Draw, TensorLattice
from custom.physics.diffusion.tensor import tensor_signal
from custom.setting_checks import check_whole

__all__ = ["Mixture", "SignalMixture"]

_MM2_PER_S = 1e-3  # one µm²/ms


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
        noise: Noise of the measurements.
        count: Number of signals, over all levels; at least two a level.
        limit_count: Number of these for which the limits are computed, at least two a level; 0 for
            none.
        seed: Seed of the choice and of the noise.
        levels: The noise levels.
        draws: See :class:`custom.physics.diffusion.posterior.mean.PosteriorMean`.
        own_draws: Likewise.
        lattice: Prior of the exact limit; by default the split's.

    Source:
        docs/methods/dwi_vae.md, "Results" and "Limit".
    """

    def __init__(
        self,
        split: LatticeSplit,
        lattice: TensorLattice,
        noise: NoiseModel,
        count: int = 9000,
        limit_count: int = 930,
        seed: int = 0,
        levels: PublishedLevels | None = None,
        draws: int = 300_000,
        own_draws: int = 4000,
    ) -> None:
        values = (levels or PublishedLevels()).values
        check_whole("mixture_signals", count, 2 * len(values))
        self.b_rows = split.simulation.b_rows
        self.noise, self.seed, self.lattice = noise, seed, lattice
        self.draws, self.own_draws = draws, own_draws
        self.values = values
        self.mixture = _mixture(split, noise, values, count // len(values), seed)
        each = min(limit_count // len(values), count // len(values))
        block = torch.arange(len(values) * (count // len(values))).reshape(len(values), -1)
        self.limit_index = block[:, :each].reshape(-1) if limit_count else block[:0].reshape(-1)

    def table(self, estimators: Sequence[SignalEstimator]) -> list[dict[str, Any]]:
        """Measure estimators, and return rows of ``MIXTURE_COLUMNS``, the published ones last.

        ``tensor_factor`` is the error of the noisy signals' tensors over that of the estimator's;
        ``times_limit`` is over the signals of the limit alone; the limit's own errors are those of
        the whole mixture, see :func:`custom.analysis.dwi.mixture_errors.extended_row`.
        """
        noisy = errors_of(Estimates(self.mixture.noisy), self.mixture.truth, self.b_rows)
        limits = self._limits()
        exact = limits.get("limit")
        rows, complete = [], []
        for estimator in estimators:
            part, index = self._part(estimator.most_signals)
            found = estimator.estimate(part.noisy, part.sigma)
            errors = errors_of(found, part.truth, self.b_rows)
            row = mixture_row(estimator.name, errors, float(noisy.tensor[index].mean()))
            if len(index) == len(noisy.tensor):
                complete.append(errors)
                row |= times_limit(errors, exact, self.limit_index) if exact else {}
            rows.append(row)
        for name, errors in limits.items():
            row = mixture_row(name, errors, 1.0) | (times_limit(errors, exact) if exact else {})
            rows.append(extended_row(row, errors, complete, self.limit_index, noisy))
        return rows + [dict(row) for row in CITED]

    def _part(self, most: int | None) -> tuple[Mixture, Tensor]:
        """Return the signals for an estimator, spread over the levels, and their numbers."""
        count = len(self.mixture.noisy)
        if most is None or most >= count:
            return self.mixture, torch.arange(count)
        index = torch.linspace(0, count - 1, most).round().long()
        return self.mixture.rows(index), index

    def _limits(self) -> dict[str, MixtureErrors]:
        """Return the errors of posterior means, unless ``limit_count`` is 0.

        ``limit``: over the lattice, exact, with the mean tensor; ``limit (refitted)``: with the
        tensor fitted to its signals; the third is for the continuous prior, without the lattice.
        """
        if len(self.limit_index) == 0:
            return {}
        settings: dict[str, Any] = {"draws": self.draws, "own_draws": self.own_draws}
        found = {}
        for name, prior in (("limit", self.lattice), ("posterior mean (any tensor)", BoxPrior())):
            posterior_mean = PosteriorMean(prior, self.noise, self.b_rows, **settings)
            parts = [self._level(posterior_mean, i) for i in range(len(self.values))]
            found[name] = joined([own for own, _ in parts])
            if name == "limit":
                found["limit (refitted)"] = joined([refitted for _, refitted in parts])
        return found

    def _level(self, mean: PosteriorMean, number: int) -> tuple[MixtureErrors, MixtureErrors]:
        """Return errors of the posterior mean at one level: of its tensor, and of the refitted."""
        sigma = float(self.values[number])
        part = self.mixture.rows(self.limit_index.reshape(len(self.values), -1)[number])
        if sigma == 0:  # the posterior is a point
            exact = errors_of(Estimates(part.noisy, part.truth.tensor), part.truth, self.b_rows)
            return exact, errors_of(Estimates(part.noisy), part.truth, self.b_rows)
        posterior = mean(part.noisy, sigma, Generator().manual_seed(self.seed + 1))
        whole = posterior.whole
        signal = whole.signal.float()
        refitted = errors_of(Estimates(signal), part.truth, self.b_rows)
        own = errors_of(Estimates(signal, whole.tensor), part.truth, self.b_rows)
        unbiased = _without_chance(own, NoisyLevel(sigma, part.truth, part.noisy, posterior))
        return unbiased, refitted


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


def _without_chance(errors: MixtureErrors, level: NoisyLevel) -> MixtureErrors:
    """Correct the posterior mean's squared errors for the finite number of draws."""
    tensor = level.limit_errors(True) * _MM2_PER_S**2
    return MixtureErrors(level.limit_errors(), tensor, errors.tensor_absolute, None, None)
