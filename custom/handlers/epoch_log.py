"""The log of an engine's epochs."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine
from monai.handlers import StatsHandler

__all__ = ["EpochLog"]


class EpochLog(StatsHandler):
    """Log the metrics of each epoch.

    MONAI's handler also prints the traceback of every exception, Ctrl-C among them, before it
    passes it on; whoever runs the engine says it once.

    Args:
        name: Name of the logger.
        settings: Further arguments of MONAI's handler.
    """

    def __init__(self, name: str | None = None, **settings: Any) -> None:
        super().__init__(name=name, iteration_log=False, **settings)

    def exception_raised(self, _engine: Engine, e: Exception) -> None:
        """Pass an exception on."""
        raise e
