"""Create or resume the Optuna study of a search: its sampler, its pruner, its identity."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
from optuna import pruners, samplers
from optuna.exceptions import ExperimentalWarning

from custom.errors import InputError
from custom.files.database_url import without_password
from custom.tuning.storage import planned, root_number

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from custom.tuning.space import SearchSpace
    from custom.tuning.storage import SearchStorage

__all__ = ["make_pruner", "make_sampler", "open_study"]

_FINGERPRINT = "search"
_SAMPLERS = {"random": samplers.RandomSampler, "tpe": samplers.TPESampler}
_PRUNERS = {
    "halving": pruners.SuccessiveHalvingPruner,
    "median": pruners.MedianPruner,
    "none": pruners.NopPruner,
    "percentile": pruners.PercentilePruner,
    "threshold": pruners.ThresholdPruner,
}


class _TrialSeededSampler:
    """A sampler that seeds each trial separately.

    The random numbers follow from the seed and the trial's position in the search; a repeated trial
    has the position of its original. So a search that is stopped and resumed draws the same values
    as in one go, and several workers never draw the same numbers.

    Args:
        make: Makes the underlying sampler, which draws, from a seed.
        seed: Seed of the search, 0 or more.

    Raises:
        ValueError: If ``seed`` is negative.
    """

    def __init__(self, make: Callable[[int], samplers.BaseSampler], seed: int) -> None:
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

    def __getattr__(self, name: str) -> Any:
        """Draw as the underlying sampler does."""
        return getattr(self._sampler, name)


def make_sampler(options: Mapping[str, Any], seed: int) -> samplers.BaseSampler:
    """Return the sampler of a search space.

    Args:
        options: ``name``, as in docs/tuning.md, and arguments of Optuna's class.
        seed: Seed of the search.

    Raises:
        InputError: If there is no such sampler, or it does not take an argument.
    """
    if "seed" in options:
        raise InputError("sampler: the seed is that of the search: give --seed")
    made: Any = _TrialSeededSampler(
        lambda value: _make(_SAMPLERS, "sampler", {**options, "seed": value}), seed
    )
    sampler: samplers.BaseSampler = made
    return sampler


def make_pruner(options: Mapping[str, Any]) -> pruners.BasePruner:
    """Return the pruner of a search space, as :func:`make_sampler` does its sampler."""
    pruner: pruners.BasePruner = _make(_PRUNERS, "pruner", options)
    return pruner


def open_study(
    storage: SearchStorage,
    name: str,
    space: SearchSpace,
    identity: Mapping[str, Any],
    seed: int = 0,
) -> Study:
    """Create an Optuna study, or resume the one of this name.

    Args:
        storage: Its storage.
        name: Its name in the storage.
        space: The search space.
        identity: Properties that must be the same for all workers, besides the space, by their name
            in a message, such as ``bundle``.
        seed: Seed of the sampler, 0 or more.

    Raises:
        InputError: If the Optuna study of this name was begun with other properties, or the sampler
            or pruner is unknown.
    """
    # The search logs its trials itself.
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    wanted = {"space": dict(space.content), **identity, "seed": seed}
    # As the storage will give it back: tuples as lists, keys as text.
    wanted = json.loads(without_password(json.dumps(wanted, default=str)))
    with storage.lock():
        study = optuna.create_study(
            storage=storage.backend,
            study_name=name,
            sampler=make_sampler(space.sampler, seed),
            pruner=make_pruner(space.pruner),
            direction=space.direction,
            load_if_exists=True,
        )
        begun = study.user_attrs.get(_FINGERPRINT)
        # A study with trials and without our mark was begun by another program.
        if begun is None and not study.get_trials(deepcopy=False):
            study.set_user_attr(_FINGERPRINT, wanted)
            begun = wanted
    differing = [key for key in wanted if (begun or {}).get(key) != wanted[key]]
    if differing:
        raise InputError(
            f"Optuna study {name!r} in {storage.url} was begun with another "
            f"{' and '.join(differing)}: go on with what it was begun with, or give --name for a "
            "new one"
        )
    return study


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
