"""Run one trial: a training of the bundle with the trial's drawn values."""

from __future__ import annotations

import gc
import math
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from ignite.engine import Events
from optuna import TrialPruned

from custom.errors import InputError
from custom.handlers.validation_metric import FinitePredictions, validated

if TYPE_CHECKING:
    from monai.bundle import ConfigWorkflow
    from monai.engines import Evaluator, Trainer
    from optuna.trial import Trial

__all__ = ["TrialReport", "train_trial"]


class TrialReport:
    """Report the validation of each epoch to a trial, and end a training that is to be pruned.

    Attach it to the trainer, after the handler that validates. Optuna's exception for a pruned
    trial is left to the caller: raised here, MONAI would wrap it into an error.

    Args:
        trial: Optuna's trial.
        evaluator: Evaluator with the metric.
        metric: Its name.
        better: Says whether its first argument is a better value than its second.

    Attributes:
        best: Best value of all epochs, ``None`` before the first.
        pruned_at: Epoch at which the trial was pruned, ``None`` if it was not.

    Raises:
        InputError: While running, if the metric is missing, or it or a prediction is not finite.
    """

    def __init__(
        self,
        trial: Trial,
        evaluator: Evaluator,
        metric: str,
        better: Callable[[float, float], bool],
    ) -> None:
        self.trial = trial
        self.evaluator = evaluator
        self.metric = metric
        self.better = better
        self.best: float | None = None
        self.pruned_at: int | None = None
        self._predictions = FinitePredictions(evaluator)

    def attach(self, engine: Trainer) -> None:
        """Act at the end of each epoch."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

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
        if self.best is None or self.better(value, self.best):
            self.best = value
        self.trial.report(value, step=epoch)
        if self.trial.should_prune():
            self.pruned_at = epoch
            engine.terminate()


def train_trial(
    trial: Trial,
    files: Sequence[str],
    overrides: Mapping[str, Any],
    metric: str,
    better: Callable[[float, float], bool],
) -> float:
    """Train as ``python -m monai.bundle run`` does, in this process.

    Args:
        trial: Optuna's trial, which hears of each epoch.
        files: Config files of a training, later ones over earlier ones.
        overrides: Config ids and their values.
        metric: Name of the validation's metric.
        better: Says whether its first argument is a better value than its second.

    Returns:
        The best value of the metric over all epochs.

    Raises:
        TrialPruned: If the pruner ended the training.
        InputError: If no epoch was validated, or the training ended in an error of the user's.
    """
    _free_memory()
    path = list(sys.path)
    try:
        with warnings.catch_warnings():
            # MONAI warns on every run that configs can hold code; these are the user's own.
            warnings.filterwarnings("ignore", message="parsing config_file")
            workflow = _workflow(files, overrides)
            workflow.initialize()
            evaluator = workflow.parser.get_parsed_content("validate::evaluator")
            report = TrialReport(trial, evaluator, metric, better)
            report.attach(workflow.parser.get_parsed_content("train::trainer"))
            workflow.run()
            workflow.finalize()
    finally:
        sys.path[:] = path
    if report.pruned_at is not None:
        raise TrialPruned(f"at epoch {report.pruned_at}")
    if report.best is None:
        raise InputError("no epoch was validated: set val_interval to at most max_epochs")
    return report.best


def _free_memory() -> None:
    """Free the memory of the last training; engines and handlers form reference cycles."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _workflow(files: Sequence[str], overrides: Mapping[str, Any]) -> ConfigWorkflow:
    """Return the bundle's training, not initialised yet."""
    from monai.bundle import ConfigWorkflow

    logging_file = Path(files[0]).with_name("logging.conf")
    return ConfigWorkflow(
        config_file=list(files),
        logging_file=str(logging_file) if logging_file.is_file() else None,
        workflow_type="train",
        **overrides,
    )
