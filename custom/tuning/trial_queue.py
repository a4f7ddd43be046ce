"""Hand out the trials of a search to its workers, each once."""

from __future__ import annotations

import logging
import warnings
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
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

__all__ = ["TrialQueue"]

logger = logging.getLogger(__name__)

_DIED = "its process died"
_STOPPED = "stopped by the user"
# A trial that kills its process every time must not keep a search for ever.
_MAX_REPEATS = 2
_UNCLAIMED = timedelta(minutes=10)


class TrialQueue:
    """The trials of a study, up to a total that all workers share.

    A trial whose worker died is repeated with what it had drawn: at once if that was a process of
    this machine, else when its heartbeat stays away. What is to be repeated is read from the study
    each time, so that a worker that dies while it lines up a trial loses none.

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
        self._given_up: set[int] = set()

    def claim(self) -> Trial | None:
        """Return a trial that is this worker's to run, or ``None`` if there is none left."""
        with self.storage.lock():
            self._end_dead()
            self._repeat_cut_off()
            while self._is_any_left():
                trial = self._ask()
                if self._is_wanted(trial.number):
                    return trial
                # Another worker was faster, on a database that takes no lock of ours.
                trial.set_user_attr(SURPLUS, True)
                trial.set_user_attr(FAILURE, "not run: another worker was faster")
                self.study.tell(trial, state=TrialState.FAIL)
            return None

    def give_back(self, trial: Trial) -> None:
        """Let a trial that the user stopped be run by whoever goes on with the search."""
        with self.storage.lock():
            self._end(trial.number, _STOPPED)
            self._repeat_cut_off()

    def running(self) -> list[int]:
        """Return the numbers of the trials that some worker has in hand."""
        return [trial.number for trial in self._trials() if trial.state == TrialState.RUNNING]

    def _trials(self) -> list[FrozenTrial]:
        """Return all trials, by number."""
        return self.study.get_trials(deepcopy=False)

    def _is_any_left(self) -> bool:
        """Say whether a trial waits, or one more may begin."""
        trials = self._trials()
        waiting = any(trial.state == TrialState.WAITING for trial in trials)
        return waiting or len(planned(trials)) < self.total

    def _is_wanted(self, number: int) -> bool:
        """Say whether a trial just begun is neither one too many nor a second repeat of one."""
        trials = self._trials()
        trial = trials[number]
        if RETRY_OF not in trial.user_attrs:
            return draw_position(trial, trials) < self.total
        root = root_number(trial)
        earlier = [other for other in trials[:number] if root_number(other) == root]
        return all(other.state == TrialState.FAIL for other in earlier)

    def _ask(self) -> Trial:
        """Take up the trial that waits longest, or begin one; note whose it is."""
        with warnings.catch_warnings():
            # The heartbeat is ours: Optuna's own loop cannot share a total among workers.
            warnings.filterwarnings("ignore", message="Heartbeat of storage")
            trial = self.study.ask()
        self.storage.beat(self.study, trial.number)
        trial.set_user_attr(WORKER, self._worker)
        return trial

    def _end_dead(self) -> None:
        """End the trials of workers that are gone."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            fail_stale_trials(self.study)
        for trial in self._trials():
            if trial.state == TrialState.RUNNING and self._is_lost(trial):
                self._end(trial.number, _DIED)

    def _repeat_cut_off(self) -> None:
        """Line up again what was cut off and waits for no repeat yet, unless it died too often."""
        attempts: dict[int, list[FrozenTrial]] = {}
        for trial in self._trials():
            if SURPLUS not in trial.user_attrs:
                attempts.setdefault(root_number(trial), []).append(trial)
        for root, tries in attempts.items():
            if not _was_cut_off(tries[-1]):
                continue
            died = sum(trial.user_attrs.get(FAILURE) != _STOPPED for trial in tries)
            if died <= _MAX_REPEATS:
                _repeat(self.study, tries[-1])
            elif root not in self._given_up:
                self._given_up.add(root)
                logger.warning("trial %d: died %d times, not run again", root, died)

    def _is_lost(self, trial: FrozenTrial) -> bool:
        """Say whether the worker of a running trial is known to be gone."""
        worker = trial.user_attrs.get(WORKER)
        if worker is not None:
            return is_dead(worker)
        # Killed in the moment between beginning the trial and signing it.
        started = trial.datetime_start
        return started is not None and datetime.now() - started > _UNCLAIMED

    def _end(self, number: int, reason: str) -> None:
        """Mark a trial as failed, unless it has ended meanwhile."""
        study_id = self.storage.backend.get_study_id_from_name(self.study.study_name)
        trial_id = self.storage.backend.get_trial_id_from_study_id_trial_number(study_id, number)
        with suppress(UpdateFinishedTrialError):
            self.storage.backend.set_trial_user_attr(trial_id, FAILURE, reason)
            self.storage.backend.set_trial_state_values(trial_id, TrialState.FAIL)


def _was_cut_off(trial: FrozenTrial) -> bool:
    """Say whether a trial ended for no reason of its own; without a reason, nobody heard of it."""
    reason = trial.user_attrs.get(FAILURE)
    return trial.state == TrialState.FAIL and reason in (None, _DIED, _STOPPED)


def _repeat(study: Study, trial: FrozenTrial) -> None:
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
