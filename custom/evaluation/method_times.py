"""Collect how long each method of an evaluation took, and write it as CSV."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from ignite.engine import Engine, Events

from custom.evaluation.slice_table import restored_items
from custom.evaluation.timed_inferer import TimedInferer
from custom.files.csv_table import write_table

__all__ = ["MethodTimes"]


class MethodTimes(ABC):
    """Keep the time of the model and of each other method that has one, on the same machine.

    Writes ``times.csv`` when the evaluator has completed. An item holds the times of the other
    methods under their keys with ``_<measure>`` behind.

    Args:
        output_dir: Folder of the table.
        methods: Name of a method to its key.
        inferer: The evaluator's, which restores with the model, and has an attribute ``measure``.
    """

    columns: ClassVar[tuple[str, ...]]
    measure: ClassVar[str]

    def __init__(
        self, output_dir: str | Path, methods: Mapping[str, str], inferer: TimedInferer
    ) -> None:
        self.output_dir = Path(output_dir)
        self.methods = methods
        self.inferer = inferer
        self.start()

    @abstractmethod
    def about(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the columns that say what was restored.

        Args:
            data: An item with its results.
        """

    def attach(self, engine: Engine) -> None:
        """Take the times of each item, and write the table at the end."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)
        engine.add_event_handler(Events.COMPLETED, self.write)

    def start(self) -> None:
        """Forget the times of an earlier run."""
        self.rows: list[dict[str, Any]] = []

    def collect(self, engine: Engine) -> None:
        """Keep the times of what the engine has just restored."""
        for data in restored_items(engine):
            about = self.about(data)
            times = {
                method: float(data[f"{key}_{self.measure}"])
                for method, key in self.methods.items()
                if f"{key}_{self.measure}" in data
            }
            times["model"] = getattr(self.inferer, self.measure)
            self.rows += [
                {**about, "method": method, self.measure: value} for method, value in times.items()
            ]

    def write(self) -> None:
        """Write the table."""
        write_table(self.output_dir / "times.csv", self.columns, self.rows)
