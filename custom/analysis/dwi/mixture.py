"""Errors over the paper's mixture of noise levels, beside the Bayes limit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from custom.analysis.dwi.estimators import Estimates, SignalEstimator
from custom.analysis.dwi.samples import (
    MM2_PER_S,
    NoisyLevel,
    columns_of,
    mean_of,
    ratio_of,
    squared_error,
)
from custom.data.datasets.signal_batches import LatticeSplit
from custom.physics.diffusion.noise import NoiseModel, PublishedLevels
from custom.physics.diffusion.posterior.mean import PosteriorMean
from custom.physics.diffusion.priors import BoxPrior, Draw, SignalPrior, TensorLattice
from custom.physics.diffusion.tensor import tensor_signal
from custom.physics.diffusion.tensor_fit import fit_log_linear

__all__ = [
    "CITED",
    "Errors",
    "Mixture",
    "SignalMixture",
    "errors_of",
    "extended_row",
    "mixture_row",
    "times_limit",
]

Errors = dict[str, Tensor]
"""Errors of each signal, ``(n,)``, by the column of their mean; without those of signals where an
estimator gives tensors only. Signals are in units of ``S_0`` squared, tensors in mm²/s, squared or
not. ``tensor_mse`` and ``tensor_mae`` are of refits by WLS where signals are given; of the same by
OLS with the floor 1e-4 are ``tensor_mse_ols`` and ``tensor_mae_ols``."""

_BLANK: dict[str, Any] = dict.fromkeys(
    (
        *("estimator", "signals", "signal_mse", "signal_mse_se"),
        *("signal_times_limit", "signal_times_limit_se"),
        *("tensor_mse", "tensor_mse_se", "tensor_mae"),
        *("tensor_times_limit", "tensor_times_limit_se", "tensor_factor"),
        *("tensor_mse_ols", "tensor_mae_ols", "source"),
    )
)
_CITED_COLUMNS = ("estimator", "signal_mse", "tensor_mse", "tensor_mae", "tensor_factor")
# The paper's two rows of noisy data differ, so each factor refers to its own row.
CITED: tuple[dict[str, Any], ...] = tuple(
    {**_BLANK, "source": "as printed", **dict(zip(_CITED_COLUMNS, row, strict=True))}
    for row in (
        ("paper: noisy (VAE)", None, 2.48e-6, 9.56e-4, None),
        ("paper: VAE", 0.01262, 2.85e-7, 4.12e-4, 2.48e-6 / 2.85e-7),
        ("paper: noisy (DAE)", None, 1.74e-6, 8.40e-4, None),
        ("paper: DAE", None, 4.03e-7, 5.34e-4, 1.74e-6 / 4.03e-7),
    )
)


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

        Columns are those of :data:`Errors` with some standard
        errors. ``tensor_factor`` is the error of the noisy signals' tensors over that of the
        estimator's; ``times_limit`` is over the signals of the limit alone; the limit's own errors
        are those of the whole mixture, see
        :func:`extended_row`.
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
        own, refitted = (
            {name: torch.cat([part[name] for part in kind]) for name in kind[0]}
            for kind in zip(*parts, strict=True)
        )
        return own, refitted

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


def errors_of(found: Estimates, truth: Draw, b_rows: Tensor) -> Errors:
    """Return the errors of estimates.

    Args:
        found: The estimates.
        truth: The true signals and tensors.
        b_rows: ``(M, 6)``.
    """
    errors: Errors = {}
    if found.signal is not None:
        errors["signal_mse"] = squared_error(found.signal, truth.signal)
    tensors = {"": found.tensors(b_rows)}
    if found.signal is not None and found.tensor is None:
        signal = found.signal.double()
        # A second refit, since the paper's is unknown and decides the noisy rows, too.
        tensors["_ols"] = fit_log_linear(signal, b_rows.double(), floor=1e-4, weighted=False)[0]
    if truth.tensor is None:
        raise ValueError("a mixture is of tensors")
    for fit, tensor in tensors.items():
        difference = (tensor.double() - truth.tensor.double()) * MM2_PER_S
        errors[f"tensor_mse{fit}"] = difference.square().mean(1)
        errors[f"tensor_mae{fit}"] = difference.abs().mean(1)
    return errors


def mixture_row(name: str, errors: Errors, unrestored: float) -> dict[str, Any]:
    """Return mean errors; ``unrestored`` is the mean error of the noisy signals' tensors."""
    measured = columns_of({column: mean_of(values) for column, values in errors.items()})
    row = _BLANK | {"estimator": name, "signals": len(errors["tensor_mse"]), "source": "measured"}
    row |= {column: value for column, value in measured.items() if column in _BLANK}
    row["tensor_factor"] = unrestored / row["tensor_mse"] if row["tensor_mse"] > 0 else None
    return row


def times_limit(errors: Errors, limit: Errors, index: Tensor | None = None) -> dict[str, float]:
    """Return errors over those of the limit, on the limit's signals: ``index`` among all."""
    chosen: Any = slice(None) if index is None else index
    return columns_of(
        {
            f"{quantity}_times_limit": ratio_of(errors[column][chosen], limit[column])
            for quantity in ("signal", "tensor")
            if (column := f"{quantity}_mse") in errors
        }
    )


def extended_row(
    row: dict[str, Any], errors: Errors, complete: Sequence[Errors], index: Tensor, noisy: Errors
) -> dict[str, Any]:
    """Extend means over some of the signals to all, by an estimator that was measured on all.

    A signal that is hard for one is hard for the other: the mean over all is that of the other
    times the ratio of both on the signals that they share (the ratio estimator of surveys). The
    other is the one with the least error.

    Args:
        row: A row from :func:`mixture_row`, over some of the signals.
        errors: Errors of the row.
        complete: Errors of estimators measured on all signals; with none only the factor of the row
            changes.
        index: Numbers of the signals of ``errors`` among all.
        noisy: Errors of all noisy signals, for the factor.
    """
    extended = dict(row)
    for column, values in errors.items():
        others = [other[column] for other in complete if column in other]
        if not others:
            continue
        other = min(others, key=lambda candidate: float(candidate.mean()))
        ratio, mean = ratio_of(values, other[index]), mean_of(other)
        extended[column] = ratio.value * mean.value
        if f"{column}_se" in extended:
            error = math.hypot(ratio.error * mean.value, ratio.value * mean.error)
            extended[f"{column}_se"] = error
    extended["tensor_factor"] = float(noisy["tensor_mse"].mean()) / extended["tensor_mse"]
    return extended
