"""Track a training as one MLflow run."""

from __future__ import annotations

import logging
import math
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from monai.engines import Evaluator
from monai.handlers import MLFlowHandler
from monai.utils import optional_import

from custom.errors import InputError
from custom.files.atomic import atomic_path, set_aside, sha256_of
from custom.handlers.executed_config import config_parameters, config_yaml
from custom.handlers.validation_metric import validated

__all__ = ["MLflowRun", "unusable_store"]

logger = logging.getLogger(__name__)


class MLflowRun(MLFlowHandler):
    """MONAI's MLflow handler, with one run for training and validation together.

    Attach it to the trainer, after the handlers that write files and before ``StatsHandler``,
    which ends the chain of an exception. Per epoch it logs the metrics of both engines and the
    learning rate; and besides: the settings of the config, the merged config, the files named in
    ``artifacts`` as they change, the hash of the best weights. An exception leaves the run
    ``FAILED``, Ctrl-C ``KILLED``. A resumed training goes on in its own run, which it knows from
    its checkpoint; every other training starts a new one.

    Args:
        tracking_uri: Store to use unless ``MLFLOW_TRACKING_URI`` names one.
        experiment_name: Experiment, one a bundle.
        evaluator: Engine whose metrics stand beside the trainer's own.
        config: Content of the merged config.
        output_dir: Folder of the merged config, ``config.yaml``. That of an earlier training is
            renamed.
        artifacts: Files and folders to keep with the run.
        weights: The best weights.
        run_name: Name of a new run; by default experiment, time and a random suffix.
        parent_run: Identifier of the run that a new run stands below, as a trial below its search.
        tags: Tags of a new run.

    Raises:
        InputError: If MLflow is missing, or its store cannot be used.
    """

    cur_run: Any
    experiment: Any

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
        if not optional_import("mlflow")[1]:
            raise InputError("mlflow is not installed: pip install mlflow, or set use_mlflow false")
        # Without a name of its own a run would join an unfinished one of the experiment.
        unique = f"{experiment_name}-{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"
        try:
            super().__init__(
                tracking_uri=tracking_uri,
                experiment_name=experiment_name,
                run_name=run_name or unique,
                iteration_log=False,
                epoch_logger=self._log_epoch,
                close_on_complete=True,
            )
        except Exception as error:
            raise unusable_store(error) from error
        self.evaluator = evaluator
        self.config = config
        self.config_file = Path(output_dir) / "config.yaml"
        self.weights = None if weights is None else Path(weights)
        self.files = [Path(path) for path in artifacts]
        self.tags = {name: str(value) for name, value in (tags or {}).items()}
        if parent_run:
            self.tags["mlflow.parentRunId"] = parent_run
        self._logged: dict[Path, int] = {}

    def attach(self, engine: Engine) -> None:
        """Log the start, each epoch, and the end, good or bad."""
        super().attach(engine)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._fail)

    def start(self, engine: Engine) -> None:
        """Continue the run of a resumed training, or begin a new one."""
        state: Any = engine.state
        try:
            self._set_experiment()  # type: ignore[no-untyped-call]
            # Chosen before MONAI's start, which else joins an unfinished run of the same name.
            self.cur_run = self._earlier_run(getattr(state, "tracking_run", ""))
            if self.cur_run is None:
                self.cur_run = self.client.create_run(
                    self.experiment.experiment_id, run_name=self.run_name, tags=self.tags
                )
            state.tracking_run = self.cur_run.info.run_id
            super().start(engine)
            parameters = config_parameters(self.config)
            # MLflow refuses to change a parameter, and a resumed run has them already.
            self._delete_exist_param_in_dict(parameters)
            self._log_params(parameters)
        except Exception as error:
            raise unusable_store(error) from error
        if state.epoch == 0:
            set_aside(self.config_file)
        with atomic_path(self.config_file) as temporary:
            temporary.write_text(config_yaml(self.config), encoding="utf-8")
        self.client.log_artifact(self.cur_run.info.run_id, str(self.config_file))

    def complete(self) -> None:
        """Log the final results."""
        self._log_files()
        if self.weights is not None and self.weights.is_file():
            self._tag("model_sha256", sha256_of(self.weights))
            best = self.evaluator.state
            self._tag("best_epoch", best.best_metric_epoch)
            self._tag(f"best_{best.key_metric_name}", f"{float(best.best_metric):.7g}")

    def _tag(self, name: str, value: Any) -> None:
        """Set a tag of the run."""
        self.client.set_tag(self.cur_run.info.run_id, name, str(value))

    def _earlier_run(self, run_id: str) -> Any:
        """Return the run of this identifier, open again, or ``None`` if there is none."""
        if not run_id:
            return None
        from mlflow.exceptions import MlflowException

        try:
            run = self.client.get_run(run_id)
        except MlflowException:
            logger.warning("MLflow run %s is not in this store: a new one begins", run_id)
            return None
        if run.info.lifecycle_stage != "active":
            logger.warning("MLflow run %s was deleted: a new one begins", run_id)
            return None
        self.client.update_run(run_id, status="RUNNING")
        return run

    def _log_epoch(self, engine: Any) -> None:
        """Log the numbers of an epoch and the files that changed."""
        from mlflow.exceptions import MlflowException

        metrics = dict(engine.state.metrics)
        if validated(engine, self.evaluator):
            metrics |= self.evaluator.state.metrics
        metrics["learning_rate"] = engine.optimizer.param_groups[0]["lr"]
        values = {name: float(value) for name, value in metrics.items()}
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        try:
            self._log_metrics(finite, step=engine.state.epoch)
            self._log_files()
        except MlflowException as error:
            # A server that is temporarily unreachable must not stop the training.
            logger.warning("epoch %d is missing in MLflow: %s", engine.state.epoch, error)

    def _log_files(self) -> None:
        """Store the artifacts that are new or have changed since they were stored."""
        named = [(path, None) for path in self.files if path.is_file()]
        # Files that are still being written begin with a dot.
        inside = [(path, top.name) for top in self.files for path in sorted(top.glob("[!.]*"))]
        for path, folder in named + inside:
            changed = path.stat().st_mtime_ns
            if self._logged.get(path) != changed:
                self.client.log_artifact(self.cur_run.info.run_id, str(path), folder)
                self._logged[path] = changed

    def _fail(self, _: Engine, error: BaseException) -> None:
        """Mark the run and pass the exception on; Ignite would swallow it."""
        if self.cur_run is not None:
            status = "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"
            try:
                self.client.set_terminated(self.cur_run.info.run_id, status)
            except Exception:
                logger.exception("MLflow run %s could not be marked %s", self.run_name, status)
            self.cur_run = None
            self._dispose_sqlite_store()
        raise error


def unusable_store(error: Exception) -> InputError:
    """Return the error with the reason why MLflow's store cannot be used."""
    reason = " ".join(str(error).split())[:300]
    return InputError(
        f"MLflow cannot be used ({reason}): mend MLFLOW_TRACKING_URI or tracking_uri, or set "
        "use_mlflow false"
    )
