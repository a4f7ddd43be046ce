"""Write the metrics of each epoch into a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ignite.engine import Events
from monai.engines import Evaluator, SupervisedTrainer

from custom.files.atomic import set_aside
from custom.files.csv_table import read_table, write_table
from custom.handlers.validation_metric import validated

__all__ = ["EpochTable"]


class EpochTable:
    """Keep a CSV file with one line an epoch: losses, metrics, learning rate, seconds.

    A resumed training continues the same table, from the epoch it resumes at; the table of an
    earlier training is renamed. The learning rate is that at the end of the epoch.

    Args:
        path: The CSV file.
        evaluator: Engine whose metrics stand beside the trainer's own.
    """

    def __init__(self, path: str | Path, evaluator: Evaluator) -> None:
        self.path = Path(path)
        self.evaluator = evaluator
        self.rows: list[dict[str, Any]] = []

    def attach(self, engine: SupervisedTrainer) -> None:
        """Write at the end of each epoch."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)

    def _start(self, engine: SupervisedTrainer) -> None:
        """Keep the lines before the epoch that the training resumes at."""
        self.rows = []
        if engine.state.epoch > 0 and self.path.is_file():
            rows = read_table(self.path, ("epoch",))
            self.rows = [dict(row) for row in rows if int(row["epoch"]) <= engine.state.epoch]

    def _write(self, engine: SupervisedTrainer) -> None:
        """Add this epoch's line."""
        if not self.rows:
            set_aside(self.path)
        metrics = dict(engine.state.metrics)
        if validated(engine, self.evaluator):
            metrics |= self.evaluator.state.metrics
        row: dict[str, Any] = {"epoch": engine.state.epoch}
        row |= {name: float(value) for name, value in metrics.items()}
        row["learning_rate"] = float(engine.optimizer.param_groups[0]["lr"])
        row["seconds"] = round(engine.state.times[Events.EPOCH_COMPLETED.name], 2)
        self.rows.append(row)
        # Of all lines: an epoch without validation lacks some.
        columns = list(dict.fromkeys(column for line in self.rows for column in line))
        write_table(self.path, columns, self.rows)
