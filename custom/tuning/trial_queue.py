"""Hand out the trials of a search to its workers, each once."""

from __future__ import annotations

import logging
import warnings
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from optuna.exceptions import ExperimentalWarning
from optuna.storages import fail_stale_trials
from optuna.trial import TrialState, create_trial

from custom.tuning.heartbeat import is_dead, worker_name
from custom.tuning.trial_records import (
    FAILURE,
    RETRY_OF,
    SURPLUS,
    WORKER,
    draw_position,
    planned,
    root_number,
)

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

    from custom.tuning.storage import SearchStorage

__all__ = ["TrialQueue", "repeat_lost"]

logger = logging.getLogger(__name__)

_DIED = "its process died"
_STOPPED = "stopped by the user"
# A trial that kills its process every time must not keep a search for ever.
_MAX_REPEATS = 2
_UNCLAIMED = timedelta(minutes=10)


class TrialQueue:
    """The trials of a study, up to a total that all workers share.

    A trial whose worker died is repeated with what it had drawn: at once if that was a process of
    this machine, else when its heartbeat stays away.

    Args:
        study: The study.
        storage: Where it is kept.
        total: Trials that the study is to have.
    """

    def __init__(self, study: Study, storage: SearchStorage, total: int) -> None:
        self.study = study
        self.storage = storage
        self.total = total
        self._worker = worker_name()

    def claim(self) -> Trial | None:
        """Return a trial that is this worker's to run, or ``None`` if there is none left."""
        with self.storage.lock():
            self._repeat_dead()
            waiting = [trial for trial in self._trials() if trial.state == TrialState.WAITING]
            if not waiting and len(planned(self._trials())) >= self.total:
                return None
            trial = self._ask()
            frozen = self._trials()[trial.number]
            if draw_position(frozen, self._trials()) >= self.total:
                # Another worker was faster, on a database that takes no lock of ours.
                trial.set_user_attr(SURPLUS, True)
                trial.set_user_attr(FAILURE, "not run: another worker took the last trial")
                self.study.tell(trial, state=TrialState.FAIL)
                return None
            return trial

    def give_back(self, trial: Trial) -> None:
        """Let a trial that the user stopped be run by whoever goes on with the search."""
        self._end(trial.number, _STOPPED)
        repeat(self.study, self._trials()[trial.number])

    def running(self) -> list[int]:
        """Return the numbers of the trials that some worker has in hand."""
        return [trial.number for trial in self._trials() if trial.state == TrialState.RUNNING]

    def _trials(self) -> list[FrozenTrial]:
        """Return all trials, by number."""
        return self.study.get_trials(deepcopy=False)

    def _ask(self) -> Trial:
        """Take up the trial that waits longest, or begin one; note whose it is."""
        with warnings.catch_warnings():
            # The heartbeat is ours: Optuna's own loop cannot share a total among workers.
            warnings.filterwarnings("ignore", message="Heartbeat of storage")
            trial = self.study.ask()
        self.storage.beat(self.study, trial.number)
        trial.set_user_attr(WORKER, self._worker)
        return trial

    def _repeat_dead(self) -> None:
        """End the trials of workers that are gone, and line them up again."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            fail_stale_trials(self.study)
        for trial in self._trials():
            if trial.state == TrialState.RUNNING and self._is_lost(trial):
                self._end(trial.number, _DIED)
                repeat_lost(self.study, self._trials()[trial.number])

    def _is_lost(self, trial: FrozenTrial) -> bool:
        """Say whether the worker of a running trial is known to be gone."""
        worker = trial.user_attrs.get(WORKER)
        if worker is not None:
            return is_dead(worker)
        # Killed in the moment between beginning the trial and signing it.
        started = trial.datetime_start
        return started is not None and datetime.now() - started > _UNCLAIMED

    def _end(self, number: int, reason: str) -> None:
        """Mark a trial as failed."""
        study_id = self.storage.backend.get_study_id_from_name(self.study.study_name)
        trial_id = self.storage.backend.get_trial_id_from_study_id_trial_number(study_id, number)
        self.storage.backend.set_trial_user_attr(trial_id, FAILURE, reason)
        self.study.tell(number, state=TrialState.FAIL, skip_if_finished=True)


def repeat_lost(study: Study, trial: FrozenTrial) -> None:
    """Line up a trial again whose worker died, unless it has died too often."""
    root = root_number(trial)
    died = [
        other
        for other in study.get_trials(deepcopy=False)
        if root_number(other) == root
        and other.state == TrialState.FAIL
        and other.user_attrs.get(FAILURE) != _STOPPED
    ]
    if len(died) > _MAX_REPEATS:
        logger.warning("trial %d: died %d times, not run again", trial.number, len(died))
        return
    repeat(study, trial)


def repeat(study: Study, trial: FrozenTrial) -> None:
    """Line up a trial again, with all that it had drawn."""
    logger.warning("trial %d will be run again", trial.number)
    attributes: dict[str, Any] = {RETRY_OF: root_number(trial)}
    study.add_trial(
        create_trial(
            state=TrialState.WAITING,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs=attributes,
        )
    )
