"""Track a training as one MLflow run."""

from __future__ import annotations

import logging
import math
import time
import uuid
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from monai.engines import Evaluator
from monai.handlers import MLFlowHandler

from custom.files.atomic import atomic_path, sha256_of
from custom.files.database_url import without_password
from custom.handlers.executed_config import config_parameters
from custom.handlers.mlflow_store import Outbox, check_address, open_store, temporary
from custom.handlers.validation_metric import validated

__all__ = ["MLflowRun"]

logger = logging.getLogger(__name__)

# Seconds that the start and the end of a training wait for a store that does not answer.
_START_SECONDS = 10
_END_SECONDS = {"FINISHED": 30, "FAILED": 10, "KILLED": 5}
_NOTE = ".mlflow_run"  # file with the identifier and status of a folder's last run


class MLflowRun:
    """One MLflow run for training and validation together, through MONAI's handler.

    Attach it to the trainer, after the handlers that write files and before ``EpochLog``,
    which ends the chain of an exception. Per epoch it logs the metrics of both engines and the
    learning rate; and besides: the settings of the config, the merged config, the files named in
    ``artifacts`` as they change, the hash of the best weights. An exception leaves the run
    ``FAILED``, Ctrl-C and SIGTERM ``KILLED``. A resumed training goes on in its own run, which it
    knows from its checkpoint; every other training starts a new one. A run of this folder whose
    training could not end it any more is marked ``KILLED`` at the next start.

    A thread of its own talks to the store: one that is slow or away neither delays nor ends the
    training, and gets later what it missed.

    Args:
        tracking_uri: Store to use unless ``MLFLOW_TRACKING_URI`` names one.
        experiment_name: Experiment, one a bundle.
        evaluator: Engine whose metrics stand beside the trainer's own.
        config: Content of the merged config.
        output_dir: Folder of ``config.yaml``, which is there when the run starts.
        artifacts: Files and folders to keep with the run.
        weights: The best weights.
        run_name: Name of a new run; by default experiment, time and a random suffix.
        parent_run: Identifier of the run that a new run stands below, as a trial below its search.
        tags: Tags of a new run.

    Raises:
        InputError: If MLflow is missing, or there can be no store of this address.
    """

    def __init__(
        self,
        tracking_uri: str,
        experiment_name: str,
        evaluator: Evaluator,
        config: Mapping[str, Any],
        output_dir: str | Path,
        artifacts: Sequence[str | Path] = (),
        weights: str | Path | None = None,
        run_name: str | None = None,
        parent_run: str | None = None,
        tags: Mapping[str, Any] | None = None,
    ) -> None:
        check_address(tracking_uri)
        self.tracking_uri, self.experiment_name = tracking_uri, experiment_name
        unique = f"{experiment_name}-{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"
        self.run_name = run_name or unique
        self.evaluator = evaluator
        self.config = config
        self.config_file = Path(output_dir) / "config.yaml"
        self.weights = None if weights is None else Path(weights)
        self.files = [Path(path) for path in artifacts]
        self.tags = {name: str(value) for name, value in (tags or {}).items()}
        if parent_run:
            self.tags["mlflow.parentRunId"] = parent_run
        self._logged: dict[Path, int] = {}
        self._note_file = Path(output_dir) / _NOTE
        self._outbox = Outbox()
        # Used by the outbox's thread alone.
        self._store: MLFlowHandler
        self._run_id = ""

    def attach(self, engine: Engine) -> None:
        """Log the start, each epoch, and the end, good or bad."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._log_epoch)
        engine.add_event_handler(Events.COMPLETED, self._complete)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._fail)

    def _start(self, engine: Engine) -> None:
        """Begin or continue the run, unless nothing is left to train."""
        if engine.should_terminate:
            return
        state: Any = engine.state
        parameters = config_parameters(self.config)
        for name in MLFlowHandler.default_tracking_params:
            parameters[name] = str(getattr(state, name))
        self._outbox = Outbox()
        self._outbox.put(partial(self._begin, state, state.epoch, parameters))
        self._outbox.wait(_START_SECONDS)

    def _begin(self, state: Any, epoch: int, parameters: dict[str, str]) -> None:
        """Continue the run of a training that is resumed after an epoch, or begin a new one."""
        self._store = open_store(self.tracking_uri, self.experiment_name)
        client = self._store.client
        if not self._run_id:  # else this is repeated
            noted, status = "", ""
            if self._note_file.is_file():
                noted, status = self._note_file.read_text(encoding="utf-8").split()
            # A checkpoint without a run is of a store that came after it.
            saved = getattr(state, "tracking_run", "") or (noted if epoch else "")
            earlier = self._known_run(saved)
            if earlier:
                client.update_run(earlier, status="RUNNING")
            if status == "RUNNING" and noted != earlier:
                self._close_killed(noted)
            self._run_id = earlier or self._new_run()
            # By which the next checkpoint knows it.
            state.tracking_run = self._run_id
            self._note("RUNNING")
        self._store.cur_run = client.get_run(self._run_id)
        before: Any = client.get_run(self._run_id).data.params
        for name, value in parameters.items():
            # An older version stored the name in an address, too.
            if without_password(before.get(name, value)) != without_password(value):
                client.set_tag(self._run_id, f"resumed.{name}", f"{value} after epoch {epoch}")
        # MLflow refuses to change a parameter, and a resumed run has them already.
        self._store._delete_exist_param_in_dict(parameters)
        self._store._log_params(parameters)
        client.log_artifact(self._run_id, str(self.config_file))

    def _new_run(self) -> str:
        """Begin a run."""
        experiment: Any = self._store.experiment
        run = self._store.client.create_run(
            experiment.experiment_id, run_name=self.run_name, tags=self.tags
        )
        return str(run.info.run_id)

    def _known_run(self, run_id: str) -> str:
        """Return this run's identifier, or nothing if the store does not hold it any more."""
        if not run_id:
            return ""
        try:
            run = self._store.client.get_run(run_id)
        except Exception as error:
            if temporary(error):
                raise
            logger.warning("MLflow run %s is not in this store: a new one begins", run_id)
            return ""
        if run.info.lifecycle_stage != "active":
            logger.warning("MLflow run %s was deleted: a new one begins", run_id)
            return ""
        return run_id

    def _close_killed(self, noted: str) -> None:
        """End the run that an earlier training in this folder could not end."""
        try:
            self._store.client.set_terminated(noted, "KILLED")
        except Exception as error:
            if temporary(error):
                raise
            logger.info("MLflow run %s of a killed training is not in this store", noted)

    def _note(self, status: str) -> None:
        """Note run and status in the folder, for the next training there."""
        with atomic_path(self._note_file) as temporary_file:
            temporary_file.write_text(f"{self._run_id} {status}\n", encoding="utf-8")

    def _log_epoch(self, engine: Any) -> None:
        """Log the numbers of an epoch and the files that changed."""
        from mlflow.entities import Metric

        metrics = dict(engine.state.metrics)
        if validated(engine, self.evaluator):
            metrics |= self.evaluator.state.metrics
        metrics["learning_rate"] = engine.optimizer.param_groups[0]["lr"]
        values = {name: float(value) for name, value in metrics.items()}
        now, epoch = int(time.time() * 1000), engine.state.epoch
        entries = [Metric(n, v, now, epoch) for n, v in values.items() if math.isfinite(v)]
        self._put(lambda: self._store.client.log_batch(self._run_id, metrics=entries))
        self._put(self._log_files)

    def _put(self, call: Any) -> None:
        """Add a call, which is left out if the store refused the run itself."""
        self._outbox.put(lambda: call() if self._run_id else None)

    def _log_files(self) -> None:
        """Store the artifacts that are new or have changed since they were stored."""
        named = [(path, None) for path in self.files if path.is_file()]
        # Files that are still being written begin with a dot.
        inside = [(path, top.name) for top in self.files for path in sorted(top.glob("[!.]*"))]
        for path, folder in named + inside:
            changed = path.stat().st_mtime_ns
            if self._logged.get(path) != changed:
                self._store.client.log_artifact(self._run_id, str(path), folder)
                self._logged[path] = changed

    def _complete(self) -> None:
        """Log the final results, and end the run."""
        tags = {}
        if self.weights is not None and self.weights.is_file():
            best: Any = self.evaluator.state
            tags["model_sha256"] = sha256_of(self.weights)
            tags["best_epoch"] = str(best.best_metric_epoch)
            tags[f"best_{best.key_metric_name}"] = f"{float(best.best_metric):.7g}"
        self._put(self._log_files)
        for name, value in tags.items():
            self._put(partial(self._tag, name, value))
        self._end("FINISHED")

    def _tag(self, name: str, value: str) -> None:
        """Set a tag of the run."""
        self._store.client.set_tag(self._run_id, name, value)

    def _fail(self, _: Engine, error: BaseException) -> None:
        """End the run and pass the exception on; Ignite would swallow it."""
        self._end("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise error

    def _end(self, status: str) -> None:
        """End the run, and wait a little for the store."""
        # A second time, as Ignite raises each exception, nothing happens: the outbox is closed.
        now = int(time.time() * 1000)

        def terminate() -> None:
            self._store.client.set_terminated(self._run_id, status, now)
            self._note(status)
            self._store._dispose_sqlite_store()

        self._put(terminate)
        self._outbox.close(_END_SECONDS[status])
