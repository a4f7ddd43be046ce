"""Stop a training that no longer improves."""

from __future__ import annotations

import sys
from typing import Any

from ignite.engine import Events
from ignite.handlers import EarlyStopping as IgniteEarlyStopping
from monai.engines import Evaluator, Trainer

from custom.handlers.validation_metric import key_metric, validated

__all__ = ["EarlyStopping"]


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
            mode="min" if evaluator.metric_cmp_fn(0.0, 1.0) else "max",
        )
        self.evaluator = evaluator
        self.allowed = patience
        self.min_epochs = min_epochs

    def attach(self, engine: Trainer, *_: Any, **__: Any) -> None:  # type: ignore[override]
        """Watch the end of the trainer's epochs."""
        self.trainer = engine
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._watch)

    def _watch(self, engine: Trainer) -> None:
        """Count this epoch; before ``min_epochs`` no count is high enough to stop."""
        if not validated(engine, self.evaluator):
            return
        self.patience = self.allowed if engine.state.epoch >= self.min_epochs else sys.maxsize
        self(self.evaluator)
