"""Create or resume the Optuna study of a search, and refuse that of another search."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import optuna

from custom.errors import InputError
from custom.tuning.strategies import make_pruner, make_sampler

if TYPE_CHECKING:
    from optuna.study import Study

    from custom.tuning.space import SearchSpace
    from custom.tuning.storage import SearchStorage

__all__ = ["open_study"]

_FINGERPRINT = "search"


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
    sampler, pruner = make_sampler(space.sampler, seed), make_pruner(space.pruner)
    wanted = {"space": dict(space.content), **identity, "seed": seed}
    wanted = json.loads(json.dumps(wanted, default=str))
    with storage.lock():
        study = optuna.create_study(
            storage=storage.backend,
            study_name=name,
            sampler=sampler,
            pruner=pruner,
            direction="minimize" if space.direction == "minimize" else "maximize",
            load_if_exists=True,
        )
        begun = study.user_attrs.get(_FINGERPRINT)
        if begun is None and not study.get_trials(deepcopy=False):
            study.set_user_attr(_FINGERPRINT, wanted)
            begun = wanted
    _refuse_another(study, storage, begun or {}, wanted)
    return study


def _refuse_another(
    study: Study, storage: SearchStorage, begun: Mapping[str, Any], wanted: Mapping[str, Any]
) -> None:
    """Refuse an Optuna study that was begun with other properties than the requested ones."""
    differing = [key for key in wanted if begun.get(key) != wanted[key]]
    if differing:
        raise InputError(
            f"Optuna study {study.study_name!r} in {storage.shown(str(storage.url))} was begun "
            f"with another {' and '.join(differing)}: go on with what it was begun with, or give "
            "--name for a new one"
        )
