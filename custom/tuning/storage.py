"""Storage of a search's trials, a file or a shared database, and its notes on a trial."""

from __future__ import annotations

import contextlib
import random
import re
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy
from optuna.exceptions import ExperimentalWarning
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback

from custom.bundle.error_line import find_cause
from custom.errors import InputError
from custom.files.database_url import check_driver, sqlite_file, without_password
from custom.files.process_lock import process_lock

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

__all__ = ["FAILURE", "SearchStorage", "failure_reason", "planned", "root_number"]

FAILURE = "failure"  # user attribute: the reason why a trial has no value

_GRACE = 4  # heartbeats that may be missed
_MAX_REPEATS = 3  # a trial that kills its process every time must not be repeated for ever
_SQLITE_TIMEOUT = 60  # seconds that one process waits for another
_ATTEMPTS = 8  # at the tables of a new database
_CLASH = re.compile("already exists|duplicate|unique", re.IGNORECASE)


class SearchStorage:
    """An Optuna storage with heartbeats, and a lock if the database has none of its own.

    A trial without heartbeats is failed, and queued again with its drawn values.

    Args:
        url: Any URL of Optuna's, as ``sqlite:////data/study.db`` or ``postgresql://host/name``.
        heartbeat_seconds: Time between two heartbeats; a trial is failed after four missing ones.

    Attributes:
        backend: The storage.
        repeat: Queues a trial again, however often it was repeated; called with the Optuna study
            and the trial.

    Raises:
        InputError: If the storage cannot be reached.
    """

    def __init__(self, url: str, heartbeat_seconds: int = 15) -> None:
        self.heartbeat_seconds = heartbeat_seconds
        self._lock_file: Path | None = None
        try:
            check_driver(url)
            self.url = sqlalchemy.make_url(url)
            options: dict[str, Any] = {"pool_pre_ping": True}  # a server may close connections
            if self.url.get_backend_name() == "sqlite":
                options = {"connect_args": {"timeout": _SQLITE_TIMEOUT}}
                file = sqlite_file(url)
                self._lock_file = file and file.with_name(f".{file.name}.lock")
            with self.lock(), warnings.catch_warnings():
                # Heartbeats are Optuna's way to detect dead workers, though marked experimental.
                warnings.simplefilter("ignore", ExperimentalWarning)
                # A repeated training begins with its first epoch, so it inherits no values.
                self.repeat = RetryHeartbeatStaleTrialCallback()
                self.backend = _made(
                    lambda: RDBStorage(
                        url,
                        engine_kwargs=options,
                        heartbeat_interval=heartbeat_seconds,
                        grace_period=_GRACE * heartbeat_seconds,
                        heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(
                            _MAX_REPEATS
                        ),
                    )
                )
        except InputError as error:
            raise InputError(f"storage cannot be used: {error}") from error
        except Exception as error:  # each database has errors of its own
            reason = without_password(" ".join(str(error).split()))[:200]
            raise InputError(
                f"storage {without_password(url)} cannot be used ({reason}): start its server or "
                "mend --storage; left out, it is a file in the output folder"
            ) from error

    def lock(self) -> contextlib.AbstractContextManager[None]:
        """Keep other workers from beginning a trial.

        Database servers do so themselves. SQLite does not: two processes could start the same
        trial.
        """
        if self._lock_file is None:
            return contextlib.nullcontext()
        return process_lock(self._lock_file)

    def beat(self, study: Study, number: int) -> None:
        """Record a heartbeat of a trial; Optuna does while one runs."""
        study_id = self.backend.get_study_id_from_name(study.study_name)
        trial_id = self.backend.get_trial_id_from_study_id_trial_number(study_id, number)
        self.backend.record_heartbeat(trial_id)


def _made(make: Callable[[], RDBStorage]) -> RDBStorage:
    """Make the tables, which other workers may be making in a new database at the same moment."""
    for attempt in range(1, _ATTEMPTS):
        try:
            return make()
        except Exception as error:
            # Each database has a class of its own for it.
            clash = find_cause(error, sqlalchemy.exc.DBAPIError)
            if clash is None or not _CLASH.search(str(clash)):
                raise
            time.sleep(random.uniform(0.1, 0.5) * attempt)
    return make()


def root_number(trial: FrozenTrial) -> int:
    """Return the trial's number, or that of the trial which it repeats."""
    # As recorded by optuna.storages.RetryHeartbeatStaleTrialCallback.
    return int(trial.system_attrs.get("failed_trial", trial.number))


def planned(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that count towards the total: all but repeated ones."""
    return [trial for trial in trials if root_number(trial) == trial.number]


def failure_reason(trial: FrozenTrial) -> str:
    """Return the reason why a failed trial has no value, as one line."""
    return str(trial.user_attrs.get(FAILURE, "its process died"))
