"""Samplers and pruners of a search, by name."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import (
    BasePruner,
    MedianPruner,
    NopPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
    ThresholdPruner,
)
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from custom.errors import InputError
from custom.tuning.trial_records import planned, root_number

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial, TrialState

__all__ = ["PRUNERS", "SAMPLERS", "TrialSeededSampler", "make_pruner", "make_sampler"]

SAMPLERS: dict[str, Callable[..., BaseSampler]] = {"random": RandomSampler, "tpe": TPESampler}
PRUNERS: dict[str, Callable[..., BasePruner]] = {
    "halving": SuccessiveHalvingPruner,
    "median": MedianPruner,
    "none": NopPruner,
    "percentile": PercentilePruner,
    "threshold": ThresholdPruner,
}


class TrialSeededSampler(BaseSampler):
    """A sampler that seeds each trial separately.

    The random numbers follow from the seed and the trial's position in the search; a repeated trial
    has the position of its original. So a search that is stopped and resumed draws the same values
    as in one go, and several workers never draw the same numbers.

    Args:
        make: Makes the underlying sampler from a seed.
        seed: Seed of the search, 0 or more.

    Raises:
        ValueError: If ``seed`` is negative.
    """

    def __init__(self, make: Callable[[int], BaseSampler], seed: int) -> None:
        if seed < 0:
            raise ValueError(f"seed must be 0 or more, got {seed}")
        self._make = make
        self._seed = seed
        self._sampler = make(seed)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Seed the sampler for this trial."""
        root = root_number(trial)
        position = sum(other.number < root for other in planned(study.get_trials(deepcopy=False)))
        sequence = np.random.SeedSequence([self._seed, position])
        self._sampler = self._make(int(sequence.generate_state(1)[0]))
        self._sampler.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the parameters that are drawn together."""
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draw the parameters that are drawn together."""
        return self._sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Draw one parameter."""
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Notify the sampler of the end of a trial."""
        self._sampler.after_trial(study, trial, state, values)


def make_sampler(options: Mapping[str, Any], seed: int) -> TrialSeededSampler:
    """Return the sampler of a search space.

    Args:
        options: ``name``, one of :data:`SAMPLERS`, and arguments of Optuna's class.
        seed: Seed of the search.

    Raises:
        InputError: If there is no such sampler, or it does not take an argument.
    """

    def make(value: int) -> BaseSampler:
        sampler: BaseSampler = _make(SAMPLERS, "sampler", {**options, "seed": value})
        return sampler

    if "seed" in options:
        raise InputError("sampler: the seed is that of the search: give --seed")
    return TrialSeededSampler(make, seed)


def make_pruner(options: Mapping[str, Any]) -> BasePruner:
    """Return the pruner of a search space.

    Args:
        options: ``name``, one of :data:`PRUNERS`, and arguments of Optuna's class.

    Raises:
        InputError: If there is no such pruner, or it does not take an argument.
    """
    pruner: BasePruner = _make(PRUNERS, "pruner", options)
    return pruner


def _make(known: Mapping[str, Callable[..., Any]], kind: str, options: Mapping[str, Any]) -> Any:
    """Make a sampler or pruner; its errors become one line."""
    arguments = dict(options)
    name = arguments.pop("name", None)
    if name not in known:
        raise InputError(f"{kind} {name!r} is unknown: take one of {', '.join(sorted(known))}")
    try:
        with warnings.catch_warnings():
            # Optuna calls several options of its TPE experimental; the space asks for them.
            warnings.simplefilter("ignore", ExperimentalWarning)
            return known[name](**arguments)
    except (TypeError, ValueError) as error:
        raise InputError(f"{kind} {name!r}: {' '.join(str(error).split())}") from error
