"""The validation of the current epoch, and the handlers that follow its key metric."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import torch
from ignite.engine import Engine, Events
from ignite.handlers import EarlyStopping as IgniteEarlyStopping
from monai.engines import Evaluator, Trainer, Workflow
from monai.handlers import LrScheduleHandler
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

__all__ = ["EarlyStopping", "FinitePredictions", "LrSchedule", "key_metric", "validated"]


def validated(trainer: Engine, evaluator: Workflow) -> bool:
    """Return True if the evaluator has run in the trainer's current epoch."""
    # MONAI's ValidationHandler gives the evaluator the trainer's epoch.
    return bool(evaluator.state.epoch == trainer.state.epoch and evaluator.state.metrics)


def key_metric(evaluator: Workflow) -> float:
    """Return the evaluator's key metric, as MONAI names it in its state."""
    return float(evaluator.state.metrics[evaluator.state.key_metric_name])


class FinitePredictions:
    """Whether all predictions of the last validation were finite.

    MONAI's metrics leave NaN out: the error of a network that gives only NaN would be 0.

    Args:
        evaluator: Engine whose output holds predictions under ``pred``.

    Attributes:
        finite: Whether none was NaN or infinite, since the evaluator last started.
    """

    def __init__(self, evaluator: Engine) -> None:
        self.finite = True
        evaluator.add_event_handler(Events.STARTED, self._begin)
        evaluator.add_event_handler(Events.ITERATION_COMPLETED, self._look)

    def _begin(self, _: Engine) -> None:
        """Reset at the start of a validation."""
        self.finite = True

    def _look(self, evaluator: Engine) -> None:
        """Check the predictions of this iteration."""
        output: Any = evaluator.state.output
        for item in output if isinstance(output, list) else [output]:
            prediction = item.get("pred") if isinstance(item, Mapping) else None
            if isinstance(prediction, torch.Tensor) and not prediction.isfinite().all():
                self.finite = False


class LrSchedule(LrScheduleHandler):
    """MONAI's handler, for schedules that watch the validation and for those that do not.

    ``ReduceLROnPlateau`` is given the evaluator's key metric, and waits in epochs that have no
    validation; every other schedule is stepped once an epoch.

    Args:
        lr_scheduler: The schedule.
        evaluator: Engine whose key metric a plateau schedule watches.
    """

    def __init__(self, lr_scheduler: LRScheduler, evaluator: Evaluator) -> None:
        super().__init__(
            lr_scheduler,  # type: ignore[arg-type]  # MONAI names torch's older base class
            print_lr=False,
            step_transform=self._arguments,
        )
        self.evaluator = evaluator
        self.watches = isinstance(lr_scheduler, ReduceLROnPlateau)

    def __call__(self, engine: Engine) -> None:
        """Step the schedule."""
        if not self.watches or validated(engine, self.evaluator):
            super().__call__(engine)

    def _arguments(self, _: Engine) -> tuple[float, ...]:
        """Return the arguments of the schedule's ``step``."""
        return (key_metric(self.evaluator),) if self.watches else ()


class EarlyStopping(IgniteEarlyStopping):
    """Stop after ``patience`` validations without a better key metric, but not too early.

    Ignite's handler, attached to the trainer (after the validation) as MONAI's handlers are. Its
    ``state_dict`` holds the best value and the count, so a resumed training stops where the
    uninterrupted one would have.

    Args:
        evaluator: Engine whose key metric is watched; its ``metric_cmp_fn`` compares two values.
        patience: Validations without improvement; 6 in the paper.
        min_epochs: Epochs that run in any case; 10 in the paper.

    Raises:
        ValueError: If ``patience`` or ``min_epochs`` is less than 1.

    Source:
        docs/methods/micro_mri_denoise.md, "Search".
    """

    def __init__(self, evaluator: Evaluator, patience: int = 6, min_epochs: int = 10) -> None:
        if min_epochs < 1:
            raise ValueError(f"min_epochs must be at least 1, got {min_epochs}")
        # Ignite wants the trainer now; it is known in attach.
        super().__init__(
            patience,
            key_metric,
            trainer=evaluator,
            # Asked, not assumed: of an error the smaller is better, of a PSNR the larger.
            mode="min" if evaluator.metric_cmp_fn(0.0, 1.0) else "max",
        )
        self.evaluator = evaluator
        self.allowed = patience
        self.min_epochs = min_epochs

    def attach(self, engine: Trainer, *_: Any, **__: Any) -> None:  # type: ignore[override]
        """Watch the end of the trainer's epochs."""
        self.trainer = engine
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._watch)

    def has_stopped(self, epoch: int) -> bool:
        """Return True if a training has been stopped with the state after an epoch."""
        return epoch >= self.min_epochs and self.counter >= self.allowed

    def _watch(self, engine: Trainer) -> None:
        """Count this epoch; before ``min_epochs`` no count is high enough to stop."""
        if not validated(engine, self.evaluator):
            return
        self.patience = self.allowed if engine.state.epoch >= self.min_epochs else sys.maxsize
        self(self.evaluator)
