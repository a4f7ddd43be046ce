"""Collect how long the model and its peers took for a slice, and write it as CSV."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from custom.data.csv_table import write_table
from custom.handlers.quality_table import SCAN_COLUMNS, restored_items
from custom.inferers.timed_inferer import TimedInferer

__all__ = ["TIME_COLUMNS", "RestorationTimes"]

TIME_COLUMNS = (*SCAN_COLUMNS, "slices", "method", "seconds_per_slice")


class RestorationTimes:
    """Keep the seconds a slice of the model and of each peer, one number a scan.

    Model and peers restore the same stack one after the other on the same machine. Loading,
    upsampling and measuring do not count, nor do the classical methods, which run while loading.

    Writes ``times.csv`` (``scan, animal, plane, region, slices, method, seconds_per_slice``) when
    the evaluator has completed.

    Args:
        output_dir: Folder of the table.
        methods: Name of a method to its key. Those that
            :class:`~custom.transforms.restore_with.RestoreWithd` restored have a time.
        inferer: The evaluator's, which restores with the model.
    """

    def __init__(
        self, output_dir: str | Path, methods: Mapping[str, str], inferer: TimedInferer
    ) -> None:
        self.output_dir = Path(output_dir)
        self.methods = dict(methods)
        self.inferer = inferer
        self.start()

    def attach(self, engine: Engine) -> None:
        """Take the times of each stack, and write the table at the end."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)
        engine.add_event_handler(Events.COMPLETED, self.write)

    def start(self) -> None:
        """Forget the times of an earlier run."""
        self.rows: list[dict[str, Any]] = []

    def collect(self, engine: Engine) -> None:
        """Keep the times of the stack that the engine has just restored."""
        for data in restored_items(engine):
            about = {name: str(data.get(name, "")) for name in SCAN_COLUMNS}
            slices = data["pred"].shape[-1]
            seconds = {
                method: data[f"{key}_seconds_per_slice"]
                for method, key in self.methods.items()
                if f"{key}_seconds_per_slice" in data
            }
            seconds["model"] = self.inferer.seconds_per_slice
            self.rows += [
                {**about, "slices": slices, "method": method, "seconds_per_slice": value}
                for method, value in seconds.items()
            ]

    def write(self) -> None:
        """Write the table."""
        write_table(self.output_dir / "times.csv", TIME_COLUMNS, self.rows)
