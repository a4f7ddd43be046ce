"""Run the trials of a search one after another; a failed one does not stop the others."""

from __future__ import annotations

import logging
import math
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna import TrialPruned
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import fail_stale_trials
from optuna.trial import TrialState

from custom.bundle.error_line import error_line, find_cause
from custom.bundle.typed_values import as_data
from custom.errors import InputError
from custom.files.atomic import atomic_path
from custom.files.database_url import without_password
from custom.tuning.storage import FAILURE, planned

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

    from custom.tuning.space import SearchSpace
    from custom.tuning.storage import SearchStorage

__all__ = ["TrialRunner", "Worker"]

logger = logging.getLogger(__name__)

# Runs one trial, as custom.tuning.trial_run.train_trial does: from the trial, config files,
# overrides and the metric's name, it returns a value or raises TrialPruned.
TrialRunner = Callable[["Trial", Sequence[str], Mapping[str, Any], str], float]
_POLL_SECONDS = 5
_ENDED = {TrialState.COMPLETE: "done", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


class _TrialFailedError(Exception):
    """A trial failed for a reason of its own, and the search continues."""


@dataclass
class Worker:
    """One process of a search; all of them share its trials.

    Attributes:
        study: The Optuna study.
        storage: Its storage.
        total: Number of trials of the search, repeated ones not counted.
        space: The search space.
        files: Config files of a training.
        output: Folder of the search; trial 7 writes to ``trials/0007`` in it.
        run: Runs a trial.
        overrides: Config ids that the user set; they override the space's ``during_search``.
        extra: Returns more config ids for a trial, by its number.
        finished: Called with each trial that has ended.
    """

    study: Study
    storage: SearchStorage
    total: int
    space: SearchSpace
    files: Sequence[str]
    output: Path
    run: TrialRunner
    overrides: Mapping[str, Any] = field(default_factory=dict)
    extra: Callable[[int], Mapping[str, Any]] = lambda _: {}
    finished: Callable[[FrozenTrial], None] = lambda _: None
    _awaited: list[int] = field(default_factory=list, init=False)

    def work(self) -> None:
        """Run trials until none is left, and those of other workers have ended too.

        Raises:
            InputError: If the storage was lost.
            KeyboardInterrupt: If the user stops; the trial in hand is run when the search goes on.
        """
        try:
            while self._run_next() or self._wait():
                pass
        except StorageInternalError as error:
            raise InputError(
                f"the storage was lost ({error_line(error)}): give the same command again when "
                "it is back"
            ) from error

    def _run_next(self) -> bool:
        """Run the trial that waits longest, or a new one; return False if none is left."""
        with ExitStack() as beginning:
            beginning.enter_context(self.storage.lock())
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                fail_stale_trials(self.study)
            trials = self.study.get_trials(deepcopy=False)
            waiting = any(trial.state == TrialState.WAITING for trial in trials)
            if not waiting and len(planned(trials)) >= self.total:
                return False

            def objective(trial: Trial) -> float:
                beginning.close()  # the Optuna study holds the trial now, so that others count it
                return self._value(trial)

            try:
                self.study.optimize(
                    objective, n_trials=1, catch=(_TrialFailedError,), callbacks=[self._ended]
                )
            except ValueError as error:
                # Optuna's words for a trial that another worker ended, for its missed heartbeats.
                if not str(error).startswith("Cannot tell"):
                    raise
                logger.warning("a trial was given to another worker meanwhile")
        return True

    def _wait(self) -> bool:
        """Wait a little for the trials of other workers; return False if there are none."""
        trials = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        running = [trial.number for trial in trials]
        if running and running != self._awaited:
            logger.info("waiting for other workers: trials %s", ", ".join(map(str, running)))
            for number in running:
                # A trial whose process was killed before its first heartbeat never becomes stale.
                self.storage.beat(self.study, number)
            self._awaited = running
        if running:
            time.sleep(min(_POLL_SECONDS, self.storage.heartbeat_seconds))
        return bool(running)

    def _value(self, trial: Trial) -> float:
        """Run one trial and return its value."""
        try:
            value = self.run(trial, self.files, self._overrides(trial), self.space.metric)
            if not math.isfinite(value):
                raise InputError(f"{self.space.metric} is {value}")
        except TrialPruned:
            raise
        except KeyboardInterrupt:
            self._give_back(trial)
            raise
        except Exception as error:
            # MONAI wraps what a handler raises; without its storage a worker cannot go on.
            lost = find_cause(error, StorageInternalError)
            if lost is not None:
                raise lost from lost.__cause__
            self._keep_error(trial, error)
            raise _TrialFailedError from error
        return value

    def _give_back(self, trial: Trial) -> None:
        """Queue a trial that the user stopped, for the continuation of the search."""
        frozen = self.study.get_trials()[trial.number]
        if frozen.state == TrialState.RUNNING:  # else another worker has it
            self.storage.repeat(self.study, frozen)
            trial.set_user_attr(FAILURE, "stopped by the user")

    def _overrides(self, trial: Trial) -> dict[str, Any]:
        """Draw a trial's parameters and return all config ids that it sets."""
        drawn = self.space.draw(trial)
        shown = ", ".join(f"{name} {_short(value)}" for name, value in drawn.items())
        logger.info("trial %d: %s", trial.number, shown)
        settings = self.space.overrides(drawn)
        return {
            **settings.fixed,
            **settings.during_search,
            **self.overrides,
            **settings.drawn,
            **self.extra(trial.number),
            "output_dir": as_data(str(self._folder(trial))),
        }

    def _folder(self, trial: Trial) -> Path:
        """Return the folder that a trial writes to."""
        return self.output / "trials" / f"{trial.number:04d}"

    def _keep_error(self, trial: Trial, error: Exception) -> None:
        """Record a trial's failure: one line in the Optuna study, all of it in its folder."""
        trial.set_user_attr(FAILURE, error_line(error))
        file = self._folder(trial) / "error.txt"
        try:
            with atomic_path(file) as temporary:
                text = "".join(traceback.format_exception(error))
                temporary.write_text(without_password(text), encoding="utf-8")
        except (OSError, InputError) as problem:
            logger.warning("%s cannot be written: %s", file, problem)

    def _ended(self, study: Study, trial: FrozenTrial) -> None:
        """Log the state of a trial."""
        note = trial.user_attrs.get(FAILURE, f"{self.space.metric} {_short(trial.value)}")
        if study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
            best = study.best_trial
            note += f"; best so far {_short(best.value)} of trial {best.number}"
        logger.info("trial %d %s: %s", trial.number, _ENDED[trial.state], note)
        self.finished(trial)


def _short(value: Any) -> str:
    """Return a value for a line of the log."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
