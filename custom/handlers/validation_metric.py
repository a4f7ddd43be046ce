"""What the validation of the current epoch said."""

from __future__ import annotations

from ignite.engine import Engine
from monai.engines import Workflow

__all__ = ["key_metric", "validated"]


def validated(trainer: Engine, evaluator: Workflow) -> bool:
    """Say whether the evaluator has run in the trainer's current epoch."""
    return bool(evaluator.state.epoch == trainer.state.epoch and evaluator.state.metrics)


def key_metric(evaluator: Workflow) -> float:
    """Return the evaluator's key metric, as MONAI names it in its state."""
    return float(evaluator.state.metrics[evaluator.state.key_metric_name])
