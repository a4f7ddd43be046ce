"""Tell parts of a training which epoch it is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ignite.engine import Engine, Events

__all__ = ["EpochNumber"]


class EpochNumber:
    """Call ``set_epoch`` of each part at the start of an epoch, with its number from 1.

    What depends on the epoch, as the weight of a loss or the random numbers of a data set, is then
    the same in a resumed training as in an uninterrupted one.

    Args:
        parts: Anything; parts without ``set_epoch`` are passed over.
    """

    def __init__(self, parts: Iterable[Any]) -> None:
        self.parts = [part for part in parts if hasattr(part, "set_epoch")]

    def attach(self, engine: Engine) -> None:
        """Act at the start of each epoch."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Tell the parts."""
        for part in self.parts:
            part.set_epoch(engine.state.epoch)
