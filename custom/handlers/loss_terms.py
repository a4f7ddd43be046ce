"""Put the terms of a loss among the metrics of a training."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine, Events

__all__ = ["LossTerms"]


class LossTerms:
    """Take the means of a loss's terms at the end of an epoch, as ``train_<term>``.

    List it before the handlers that log or write the metrics. The loss adds its terms up on the
    device, so that no step waits for them.

    Args:
        loss: With a method ``take_terms``, as :mod:`custom.losses.signal_losses` have; one without
            has no terms to tell.
    """

    def __init__(self, loss: Any) -> None:
        self.loss = loss

    def attach(self, engine: Engine) -> None:
        """Act at the end of each epoch."""
        if hasattr(self.loss, "take_terms"):
            engine.add_event_handler(Events.EPOCH_STARTED, self._begin)
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._tell)

    def _begin(self, _: Engine) -> None:
        """Forget what was left over, as by a run that was stopped."""
        self.loss.take_terms()

    def _tell(self, engine: Engine) -> None:
        """Add the terms to the metrics."""
        for name, value in self.loss.take_terms().items():
            engine.state.metrics[f"train_{name}"] = value
