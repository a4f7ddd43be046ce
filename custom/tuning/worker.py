"""Run the trials of a search, one after another, whatever becomes of each."""

from __future__ import annotations

import logging
import math
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from optuna import TrialPruned
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import TrialState

from custom.bundle.launch import causes, find_cause, user_error
from custom.errors import InputError
from custom.files.atomic import atomic_path
from custom.tuning.heartbeat import Heartbeat
from custom.tuning.trial_records import FAILURE

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial, Trial

    from custom.tuning.space import SearchSpace
    from custom.tuning.trial_queue import TrialQueue

__all__ = ["TrialRunner", "Worker", "trial_folder"]

logger = logging.getLogger(__name__)

_POLL_SECONDS = 5
_ENDED = {
    TrialState.COMPLETE: "done",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


class TrialRunner(Protocol):
    """What runs one trial, as :func:`custom.tuning.trial_run.train_trial` does."""

    def __call__(
        self,
        trial: Trial,
        files: Sequence[str],
        overrides: Mapping[str, Any],
        metric: str,
        better: Callable[[float, float], bool],
    ) -> float:
        """Return the trial's value, or raise ``TrialPruned``."""


def trial_folder(output: Path, number: int) -> Path:
    """Return the folder that a trial writes to."""
    return output / "trials" / f"{number:04d}"


@dataclass
class Worker:
    """One process of a search.

    Attributes:
        queue: Where its trials come from.
        space: What they draw.
        files: Config files of a training.
        output: Folder of the search; trial 7 writes to ``trials/0007`` in it.
        overrides: Config ids that the user set; they go over the space's ``during_search``.
        run: What runs a trial.
        extra: Returns more config ids for a trial, by its number.
        finished: Called with each trial that has ended.
    """

    queue: TrialQueue
    space: SearchSpace
    files: Sequence[str]
    output: Path
    run: TrialRunner
    overrides: Mapping[str, Any] = field(default_factory=dict)
    extra: Callable[[int], Mapping[str, Any]] = lambda _: {}
    finished: Callable[[FrozenTrial], None] = lambda _: None

    def work(self) -> None:
        """Run trials until none is left, and those of other workers have ended too.

        Raises:
            InputError: If the storage was lost.
            KeyboardInterrupt: If the user stops; the trial in hand is run when the search goes on.
        """
        try:
            self._work()
        except StorageInternalError as error:
            raise InputError(
                f"the storage was lost ({_reason(error)}): give the same command again when it is "
                "back"
            ) from error

    def _work(self) -> None:
        """Run trials, and wait for those of other workers."""
        said: list[int] = []
        while True:
            trial = self.queue.claim()
            if trial is not None:
                self._run(trial)
                continue
            others = self.queue.running()
            if not others:
                return
            if others != said:
                logger.info("waiting for other workers: trials %s", ", ".join(map(str, others)))
                said = others
            time.sleep(min(_POLL_SECONDS, self.queue.storage.heartbeat_seconds))

    def _run(self, trial: Trial) -> None:
        """Run one trial and record how it ended."""
        try:
            value, state = self._outcome(trial)
            self._record(trial, value, state)
        except UpdateFinishedTrialError:
            logger.warning("trial %d was given to another worker meanwhile", trial.number)

    def _outcome(self, trial: Trial) -> tuple[float | None, TrialState]:
        """Run one trial; return its value, if it has one, and how it ended."""
        try:
            with Heartbeat(self.queue.storage, self.queue.study, trial.number):
                overrides = self._overrides(trial)
                value = self.run(trial, self.files, overrides, self.space.metric, self.space.better)
            if not math.isfinite(value):
                raise InputError(f"{self.space.metric} is {value}")
        except TrialPruned:
            return None, TrialState.PRUNED
        except KeyboardInterrupt:
            self.queue.give_back(trial)
            raise
        except Exception as error:
            for kind in (UpdateFinishedTrialError, StorageInternalError):
                cause = find_cause(error, kind)
                if cause is not None:
                    raise cause from cause.__cause__
            self._keep_error(trial, error)
            return None, TrialState.FAIL
        return value, TrialState.COMPLETE

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
            "output_dir": str(trial_folder(self.output, trial.number)),
        }

    def _keep_error(self, trial: Trial, error: Exception) -> None:
        """Record why a trial failed: one line in the study, all of it in the trial's folder."""
        trial.set_user_attr(FAILURE, _reason(error))
        file = trial_folder(self.output, trial.number) / "error.txt"
        try:
            with atomic_path(file) as temporary:
                text = "".join(traceback.format_exception(error))
                temporary.write_text(text, encoding="utf-8")
        except (OSError, InputError) as problem:
            logger.warning("%s cannot be written: %s", file, problem)

    def _record(self, trial: Trial, value: float | None, state: TrialState) -> None:
        """Tell the study how a trial ended, and the user."""
        study = self.queue.study
        frozen = study.tell(trial, value, state, skip_if_finished=True)
        if frozen.state != state:
            logger.warning("trial %d was given to another worker meanwhile", trial.number)
            return
        note = frozen.user_attrs.get(FAILURE, f"{self.space.metric} {_short(frozen.value)}")
        done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if done:
            best = study.best_trial
            note += f"; best so far {_short(best.value)} of trial {best.number}"
        logger.info("trial %d %s: %s", trial.number, _ENDED[state], note)
        self.finished(frozen)


def _reason(error: BaseException) -> str:
    """Return an error of a run as one line: the user's own words, else what began it."""
    cause = user_error(error)
    if cause is not None:
        return str(cause)
    first = list(causes(error))[-1]
    return f"{type(first).__name__}: {' '.join(str(first).split())[:300]}"


def _short(value: Any) -> str:
    """Return a value for a line of the log."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
