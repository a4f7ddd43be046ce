"""Results of the current epoch's validation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import Workflow

__all__ = ["FinitePredictions", "key_metric", "validated"]


def validated(trainer: Engine, evaluator: Workflow) -> bool:
    """Return True if the evaluator has run in the trainer's current epoch."""
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
