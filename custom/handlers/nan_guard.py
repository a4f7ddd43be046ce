"""Stop a training whose loss is no longer finite."""

from __future__ import annotations

import math
from pathlib import Path

from ignite.engine import Engine, Events
from monai.engines import Evaluator, IterationEvents, SupervisedTrainer

from custom.errors import InputError
from custom.handlers.validation_metric import FinitePredictions, key_metric, validated

__all__ = ["NanGuard", "refuse_to_go_on"]


class NanGuard:
    """End the run with one clear line when the loss or the validation is NaN or infinite.

    The loss is checked before it changes the network, the validation before anything is saved:
    list this handler after the one that validates and before the one that saves. A validation
    counts as NaN if any of its predictions is not finite, since MONAI's metrics leave those out.

    Args:
        evaluator: Evaluator whose predictions and key metric are checked.
        checkpoint: Path of the last good state of the training, for the message.

    Raises:
        InputError: While running, if a value is not finite.
    """

    def __init__(self, evaluator: Evaluator, checkpoint: str | Path) -> None:
        self.evaluator = evaluator
        self.checkpoint = Path(checkpoint)
        self.predictions = FinitePredictions(evaluator)

    def attach(self, engine: SupervisedTrainer) -> None:
        """Watch the loss of each step and the metric of each epoch."""
        engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self._check_loss)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._check_validation)

    def _check_loss(self, engine: SupervisedTrainer) -> None:
        """Check the loss of this step."""
        self._refuse(engine, "the training loss", float(engine.state.output["loss"].detach()))

    def _check_validation(self, engine: SupervisedTrainer) -> None:
        """Check the predictions of this epoch and their key metric."""
        if validated(engine, self.evaluator):
            value = key_metric(self.evaluator) if self.predictions.finite else math.nan
            self._refuse(engine, self.evaluator.state.key_metric_name, value)

    def _refuse(self, engine: SupervisedTrainer, name: str, value: float) -> None:
        """Raise if the value is not finite."""
        if not math.isfinite(value):
            rate = f"lower learning_rate (now {engine.optimizer.param_groups[0]['lr']:g})"
            advice = f"look for broken slices with 'mri-bundles qc' or {rate}"
            refuse_to_go_on(engine, f"{name} is {value}", advice, self.checkpoint)


def refuse_to_go_on(engine: Engine, found: str, advice: str, checkpoint: Path) -> None:
    """Raise ``InputError`` with the fault, its place, the remedy, and the last good state."""
    saved = (
        f"the last good state is {checkpoint}, continue it with --resume True"
        # In epoch 1 a checkpoint that exists is that of an earlier training.
        if engine.state.epoch > 1 and checkpoint.exists()
        else "nothing was saved yet"
    )
    place = f"at epoch {engine.state.epoch}, iteration {engine.state.iteration}"
    raise InputError(f"{found} {place}: {advice}; {saved}")
