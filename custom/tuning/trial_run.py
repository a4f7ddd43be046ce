"""Run one trial: a training of the bundle with the trial's drawn values."""

from __future__ import annotations

import gc
import math
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from ignite.engine import Events
from monai.bundle import ConfigWorkflow
from optuna import TrialPruned
from optuna.study import StudyDirection

from custom.errors import InputError
from custom.handlers.validation_metric import FinitePredictions, validated

if TYPE_CHECKING:
    from monai.engines import Evaluator, Trainer
    from optuna.trial import Trial

__all__ = ["TrialReport", "train_trial"]


class TrialReport:
    """Report the validation of each epoch to a trial, and end a training that is to be pruned.

    Call it at the end of each epoch, after the validation. Optuna's exception for a pruned trial is
    left to the caller: raised here, MONAI would wrap it into an error.

    Args:
        trial: Optuna's trial.
        evaluator: Evaluator with the metric.
        metric: Its name.

    Attributes:
        values: The metric of each validated epoch.
        pruned_at: Epoch at which the trial was pruned, ``None`` if it was not.

    Raises:
        InputError: While running, if the metric is missing, or it or a prediction is not finite.
    """

    def __init__(self, trial: Trial, evaluator: Evaluator, metric: str) -> None:
        self.trial = trial
        self.evaluator = evaluator
        self.metric = metric
        self.values: list[float] = []
        self.pruned_at: int | None = None
        self._predictions = FinitePredictions(evaluator)

    def __call__(self, engine: Trainer) -> None:
        """Report this epoch, if it was validated."""
        if not validated(engine, self.evaluator):
            return
        metrics, epoch = self.evaluator.state.metrics, engine.state.epoch
        if self.metric not in metrics:
            raise InputError(
                f"the validation has no metric {self.metric!r}: it has {', '.join(metrics)}"
            )
        value = float(metrics[self.metric]) if self._predictions.finite else math.nan
        if not math.isfinite(value):
            raise InputError(f"{self.metric} is {value} at epoch {epoch}")
        self.values.append(value)
        self.trial.report(value, step=epoch)
        if self.trial.should_prune():
            self.pruned_at = epoch
            engine.terminate()


def train_trial(
    trial: Trial, files: Sequence[str], overrides: Mapping[str, Any], metric: str
) -> float:
    """Train as ``python -m monai.bundle run`` does, in this process.

    Args:
        trial: Optuna's trial, which hears of each epoch.
        files: Config files of a training, later ones over earlier ones.
        overrides: Config ids and their values.
        metric: Name of the validation's metric.

    Returns:
        The best value of the metric over all epochs, in the direction of the trial's study.

    Raises:
        TrialPruned: If the pruner ended the training.
        InputError: If no epoch was validated, or the training ended in an error of the user's.
    """
    gc.collect()  # the last training: its engines and handlers form reference cycles
    torch.cuda.empty_cache()
    logging_file = Path(files[0]).with_name("logging.conf")
    # MONAI adds the bundle's folder in every run, and a search has hundreds.
    path = list(sys.path)
    try:
        with warnings.catch_warnings():
            # MONAI warns on every run that configs can hold code; these are the user's own.
            warnings.filterwarnings("ignore", message="parsing config_file")
            workflow = ConfigWorkflow(
                config_file=list(files),
                logging_file=str(logging_file) if logging_file.is_file() else None,
                workflow_type="train",
                **overrides,
            )
            workflow.initialize()
            evaluator = workflow.parser.get_parsed_content("validate::evaluator")
            report = TrialReport(trial, evaluator, metric)
            # A bundle with several trainers names the one that runs.
            running = "trainer" if "trainer" in workflow.parser else "train::trainer"
            trainer = workflow.parser.get_parsed_content(running)
            # Handlers run in the order they were added: the epoch's validation comes before.
            trainer.add_event_handler(Events.EPOCH_COMPLETED, report)
            workflow.run()
            workflow.finalize()
    finally:
        sys.path[:] = path
    if report.pruned_at is not None:
        raise TrialPruned(f"at epoch {report.pruned_at}")
    if not report.values:
        raise InputError("no epoch was validated: give a --val_interval of at most --max_epochs")
    return (min if trial.study.direction == StudyDirection.MINIMIZE else max)(report.values)
