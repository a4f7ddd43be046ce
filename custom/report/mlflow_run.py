"""Find a training in an MLflow store."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from custom.errors import InputError
from custom.report.training_curves import Curves

__all__ = ["TrackedRun", "find_run"]


@dataclass(frozen=True)
class TrackedRun:
    """A run in an MLflow store.

    Args:
        run_id: Its id.
        name: Its name.
        status: ``FINISHED``, ``FAILED``, ``RUNNING`` ...
        curves: Metrics by step.
        parameters: Parameters by name.
        store: The store's address.
    """

    run_id: str
    name: str
    status: str
    curves: Curves
    parameters: dict[str, str]
    store: str


def find_run(run_id: str, stores: Iterable[str | Path] = ()) -> TrackedRun:
    """Find a run.

    Args:
        run_id: The run's id.
        stores: SQLite files to look into, unless ``MLFLOW_TRACKING_URI`` names a store.

    Raises:
        InputError: If no store holds the run.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    given = os.environ.get("MLFLOW_TRACKING_URI")
    files = dict.fromkeys(Path(store).resolve() for store in stores)
    places = [given] if given else [f"sqlite:///{file}" for file in files if file.is_file()]
    for place in places:
        client = MlflowClient(place)
        try:
            run = client.get_run(run_id)
        except MlflowException:
            continue
        curves = {
            name: {entry.step: entry.value for entry in client.get_metric_history(run_id, name)}
            for name in sorted(run.data.metrics)
        }
        return TrackedRun(
            run_id=run_id,
            name=str(run.info.run_name),
            status=str(run.info.status),
            curves=curves,
            parameters=dict(run.data.params),
            store=place,
        )
    looked = ", ".join(places) or "no store (set MLFLOW_TRACKING_URI)"
    raise InputError(f"{run_id!r} is neither an output folder nor a run in {looked}")
