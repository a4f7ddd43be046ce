"""Track a search in MLflow: one run for the search, and below it one for each trial."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from custom.bundle.typed_values import as_data
from custom.handlers.mlflow_store import Outbox, check_address, open_store, temporary

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

__all__ = ["STATE_TAG", "TRIAL_TAG", "Tracker"]

TRIAL_TAG = "optuna_trial"
STATE_TAG = "optuna_state"
_PARENT_TAG = "mlflow.parentRunId"  # by which MLflow's own pages nest runs
_ATTRIBUTE = "mlflow_run:"
_STATUS = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED"}
# Seconds after which workers that start at the same moment see each other's run.
_SETTLE_SECONDS = 1.0
_MOST_RUNS = 50_000  # that MLflow lists at once
_WAIT_SECONDS = 20  # for a store that does not answer


class Tracker:
    """Keep a search's MLflow run, and mark the runs that its trials make.

    The run's identifier is kept in the study, so that every worker and every resumed search joins
    it as long as they use the same store. A worker whose store does not hold it, such as a file on
    another machine, begins a run of its own there. A store that is away neither stops nor delays a
    search, and gets later what it missed.

    Args:
        tracking_uri: Store to use unless ``MLFLOW_TRACKING_URI`` names one.
        experiment_name: Experiment, that of the bundle's trainings.
        folder: The search's output folder.
        metric: Name of the value that the search follows.
        settings: Settings of the search, kept as parameters of its run.
        enabled: ``False`` tracks nothing.
    """

    def __init__(
        self,
        tracking_uri: str,
        experiment_name: str,
        folder: str | Path,
        metric: str,
        settings: Mapping[str, Any] | None = None,
        enabled: bool = True,
    ) -> None:
        self.tracking_uri = tracking_uri
        self.experiment_name = experiment_name
        self.folder = Path(folder)
        self.metric = metric
        self.settings = dict(settings or {})
        self.enabled = enabled
        self.run_id: str | None = None
        self._study: Study
        self._store: Any = None
        self._client: Any = None
        self._outbox = Outbox()

    def start(self, study: Study) -> None:
        """Join the search's run, or begin it.

        Raises:
            InputError: If MLflow is missing, or there can be no store of this address.
        """
        self._study = study
        if self.enabled:
            check_address(self.tracking_uri)
            self._outbox.put(self._join)
            self._outbox.wait(_WAIT_SECONDS)

    def _send(self, call: Callable[[], None]) -> None:
        """Make a call to MLflow, later if the store is away; none if it refused the run."""
        self._outbox.put(lambda: call() if self.run_id else None)
        self._outbox.wait(_WAIT_SECONDS)

    def _join(self) -> None:
        """Join or begin the run."""
        self._store = open_store(self.tracking_uri, self.experiment_name)
        self._client = self._store.client
        self.run_id = self._known_run() or self._begin()
        self._client.update_run(self.run_id, status="RUNNING")

    def overrides(self, number: int) -> dict[str, Any]:
        """Return the config ids that put a trial's run below that of the search."""
        if not self.enabled:
            return {"use_mlflow": False}
        return {
            "tracking_uri": as_data(self.tracking_uri),
            "experiment_name": as_data(self.experiment_name),
            "run_name": as_data(f"{self._study.study_name}-trial-{number:04d}"),
            "parent_run": self.run_id,
            "run_tags": {TRIAL_TAG: number},
        }

    def finish_trial(self, trial: FrozenTrial) -> None:
        """Log a trial's drawn values and its state, and the best value so far."""
        if self.enabled:
            self._send(partial(self._mark_one, trial))

    def end(self, status: str, files: Iterable[str | Path] = ()) -> None:
        """End the search's run, unless another worker still runs trials.

        Args:
            status: MLflow's status; ``FINISHED`` also marks the trials whose worker was killed.
            files: Files to keep with the run; those of a folder ``plots`` stay in it.
        """
        if self.enabled:
            trials = self._study.get_trials(deepcopy=False)
            self._send(partial(self._end, status, list(map(Path, files)), trials))
            self._outbox.close(_WAIT_SECONDS)

    def _end(self, status: str, files: Iterable[Path], trials: Iterable[FrozenTrial]) -> None:
        """Mark what is left to mark, and end the run."""
        if status == "FINISHED":
            self._mark_missing(trials)
        for path in files:
            inside = path.parent.name if path.parent != self.folder else None
            self._client.log_artifact(self.run_id, str(path), inside)
        if not any(trial.state.name == "RUNNING" for trial in trials):
            self._client.set_terminated(self.run_id, status)
        self._store._dispose_sqlite_store()

    def _known_run(self) -> str | None:
        """Return the oldest run of this Optuna study in the store."""
        held = []
        for name in self._study.user_attrs:
            if name.startswith(_ATTRIBUTE):
                try:
                    info = self._client.get_run(name.removeprefix(_ATTRIBUTE)).info
                except Exception as error:
                    if temporary(error):
                        raise
                    continue  # a run of a worker with another store
                if info.lifecycle_stage == "active":
                    held.append((info.start_time, info.run_id))
        return min(held)[1] if held else None

    def _begin(self) -> str:
        """Begin the search's run; workers that do so at the same time all use the oldest."""
        name = f"{self._study.study_name}-search"
        run = self._client.create_run(self._store.experiment.experiment_id, run_name=name)
        own = str(run.info.run_id)
        # A key for each run: of one shared list the last worker's would remain alone.
        self._study.set_user_attr(f"{_ATTRIBUTE}{own}", True)
        time.sleep(_SETTLE_SECONDS)
        chosen = self._known_run() or own
        if chosen != own:
            self._client.delete_run(own)
            return chosen
        for key, value in self.settings.items():
            self._client.log_param(own, key, value)
        return own

    def _trial_runs(self, only: str = "") -> dict[int, Any]:
        """Return the runs below the search's by trial, those of a filter if one is given."""
        runs = self._client.search_runs(
            [self._store.experiment.experiment_id],
            f"tags.`{_PARENT_TAG}` = '{self.run_id}'{only}",
            max_results=_MOST_RUNS,
        )
        return {int(run.data.tags[TRIAL_TAG]): run for run in runs}

    def _mark_missing(self, trials: Iterable[FrozenTrial]) -> None:
        """Mark the runs of trials whose worker was killed before it could."""
        runs = self._trial_runs()
        for trial in trials:
            run = runs.get(trial.number)
            marked = run is not None and run.data.tags.get(STATE_TAG) == trial.state.name
            if trial.state.is_finished() and not marked:
                self._mark(trial, run)

    def _mark_one(self, trial: FrozenTrial) -> None:
        """Mark the run of a trial."""
        runs = self._trial_runs(f" and tags.{TRIAL_TAG} = '{trial.number}'")
        self._mark(trial, runs.get(trial.number))

    def _mark(self, trial: FrozenTrial, run: Any) -> None:
        """Log a finished trial; one that ended before its training gets a run here."""
        client = self._client
        if run is None:
            made = self.overrides(trial.number)
            tags = {_PARENT_TAG: self.run_id, TRIAL_TAG: str(trial.number)}
            run = client.create_run(
                self._store.experiment.experiment_id, run_name=made["run_name"], tags=tags
            )
        own = run.info.run_id
        # With a prefix: the config may have a parameter of this name, written differently.
        for name, value in trial.params.items():
            client.log_param(own, f"drawn.{name}", value)
        for name, value in trial.user_attrs.items():
            client.set_tag(own, f"trial.{name}", str(value))
        metric = f"best_{self.metric}"
        if trial.value is not None and trial.state.name == "COMPLETE":
            client.log_metric(own, metric, trial.value)
            client.log_metric(self.run_id, metric, self._study.best_value, step=trial.number)
            client.set_tag(self.run_id, "best_trial", str(self._study.best_trial.number))
        client.set_terminated(own, _STATUS[trial.state.name])
        # Last: a run that has the tag is taken as completely marked.
        client.set_tag(own, STATE_TAG, trial.state.name)
