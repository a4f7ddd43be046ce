"""Running means of what a training step tells, for the tables of an epoch."""

from __future__ import annotations

from ignite.engine import Engine, Events
from torch import Tensor

__all__ = ["RunningTerms"]


class RunningTerms:
    """Keep the means of named scalars over an epoch, and put them among the engine's metrics.

    They are added up on the device, so that no step waits for them. Attach it before the handlers
    that write metrics. A term called ``x`` becomes the metric ``train_x``.
    """

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    def keep(self, **terms: Tensor) -> None:
        """Add the terms of one step."""
        for name, value in terms.items():
            value = value.detach().double()
            self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._count += 1

    def attach(self, engine: Engine) -> None:
        """Begin anew with each epoch, and tell at its end."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._tell)

    def _begin(self, _: Engine) -> None:
        """Forget the last epoch."""
        self._sums, self._count = {}, 0

    def _tell(self, engine: Engine) -> None:
        """Add the means to the metrics."""
        for name, value in self._sums.items():
            engine.state.metrics[f"train_{name}"] = float(value) / self._count
