"""Means over an epoch of the terms of a loss, among the metrics of a training."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine, Events
from ignite.metrics import Average
from torch import Tensor

__all__ = ["RunningTerms"]


class RunningTerms:
    """Average named scalars over an epoch, with one ``ignite.metrics.Average`` for each.

    Their names need not be known beforehand: the terms of a loss depend on its network. They are
    added up on their device, so that no step waits for them. Attach it before the handlers that
    write metrics. A term called ``x`` becomes the metric ``train_x``.

    Args:
        loss: A loss that holds the terms of its last call as ``terms``, as those of
            :mod:`custom.losses.signal_losses`; None: only what :meth:`keep` is given.
    """

    def __init__(self, loss: Any = None) -> None:
        self.loss = loss
        self._means: dict[str, Average] = {}

    def keep(self, **terms: Tensor) -> None:
        """Add the terms of one step."""
        for name, value in terms.items():
            self._means.setdefault(name, Average(device=value.device)).update(value)

    def attach(self, engine: Engine) -> None:
        """Reset at the start of each epoch, and give the means at its end."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin)
        if self.loss is not None:
            engine.add_event_handler(Events.ITERATION_COMPLETED, self._keep_loss)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._tell)

    def _begin(self) -> None:
        """Forget the last epoch."""
        self._means = {}

    def _keep_loss(self) -> None:
        """Add the terms of the loss's last call; a plain loss has none."""
        self.keep(**getattr(self.loss, "terms", {}))

    def _tell(self, engine: Engine) -> None:
        """Add the means to the metrics."""
        for name, mean in self._means.items():
            engine.state.metrics[f"train_{name}"] = float(mean.compute())
