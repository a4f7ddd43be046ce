"""Collect how long each method took for a series or a volume, and write it as CSV."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from ignite.engine import Engine, Events

from custom.data.csv_table import write_table
from custom.handlers.quality_table import restored_items
from custom.inferers.timed_inferer import TimedInferer

__all__ = ["SERIES_TIME_COLUMNS", "SeriesTimes"]

SERIES_TIME_COLUMNS = ("scan", "method", "voxels", "seconds")


class MethodTable(Protocol):
    """What is asked of the table of measures."""

    output_dir: Path
    methods: dict[str, str]


class SeriesTimes:
    """Keep the seconds that each method took for a scan, on the same machine, one by one.

    Those of the model and of its peers are measured by
    :class:`~custom.inferers.timed_inferer.TimedInferer`, those of the classical methods as they run
    while loading, where they tell (:mod:`custom.transforms.dwi_baselines`). Loading, the estimates
    of scale and noise, and measuring do not count.

    Writes ``times.csv`` (``scan, method, voxels, seconds``) when the evaluator has completed;
    voxels are those of ``image_mask``, which are what most methods look at, else of the volume that
    was restored.

    Args:
        table: The measures of the same evaluator, with its ``methods`` (name to key) and
            ``output_dir``; it must stand before this handler.
        inferer: The evaluator's, which restores with the model.
    """

    def __init__(self, table: MethodTable, inferer: TimedInferer) -> None:
        self.table = table
        self.output_dir = Path(table.output_dir)
        self.inferer = inferer
        self.start()

    def attach(self, engine: Engine) -> None:
        """Take the times of each series, and write the table at the end."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)
        engine.add_event_handler(Events.COMPLETED, self.write)

    def start(self) -> None:
        """Forget the times of an earlier run."""
        self.rows: list[dict[str, Any]] = []

    def collect(self, engine: Engine) -> None:
        """Keep the times of the series that the engine has just restored."""
        for data in restored_items(engine):
            scan = str(data.get("scan", ""))
            voxels = (
                int(data["image_mask"].sum()) if "image_mask" in data else data["pred"][0].numel()
            )
            times = {
                method: float(data[f"{key}_seconds"])
                for method, key in self.table.methods.items()
                if f"{key}_seconds" in data
            }
            times["model"] = self.inferer.seconds
            self.rows += [
                {"scan": scan, "method": method, "voxels": voxels, "seconds": value}
                for method, value in times.items()
            ]

    def write(self) -> None:
        """Write the table."""
        write_table(self.output_dir / "times.csv", SERIES_TIME_COLUMNS, self.rows)
