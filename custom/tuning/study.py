"""Open the study of a search, new or taken up, and refuse one that belongs to another search."""

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
    """Create a study, or take up the one of this name.

    Args:
        storage: Where it is kept.
        name: Its name in the storage.
        space: What is searched.
        identity: What must be the same for all workers, beside the space: by what it is called in
            a message, as ``bundle``.
        seed: Seed of what is drawn, 0 or more.

    Raises:
        InputError: If the study of this name was begun with something else, or the sampler or
            pruner is unknown.
    """
    # The search tells about its trials itself.
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
    """Refuse a study that was begun with something else than is wanted now."""
    differing = [key for key in wanted if begun.get(key) != wanted[key]]
    if differing:
        raise InputError(
            f"study {study.study_name!r} in {storage.shown(str(storage.url))} was begun with "
            f"another {' and '.join(differing)}: go on with what it was begun with, or give "
            "--name for a study of its own"
        )
