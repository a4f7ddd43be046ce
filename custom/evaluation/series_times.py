"""Collect how long each method took for a series or a volume, and write it as CSV."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from custom.evaluation.method_times import MethodTimes
from custom.evaluation.timed_inferer import TimedInferer

__all__ = ["SERIES_TIME_COLUMNS", "SeriesTimes"]

SERIES_TIME_COLUMNS = ("scan", "method", "voxels", "seconds")


class MethodTable(Protocol):
    """What is asked of the table of measures."""

    output_dir: Path
    methods: dict[str, str]


class SeriesTimes(MethodTimes):
    """Keep the seconds that each method took for a scan, on the same machine, one by one.

    Those of the model and of its peers are measured by
    :class:`~custom.evaluation.timed_inferer.TimedInferer`, those of the classical methods as they
    run while loading, where they tell (:mod:`custom.transforms.dwi_baselines`). Loading, the
    estimates of scale and noise, and measuring do not count.

    Writes ``times.csv`` (``scan, method, voxels, seconds``) when the evaluator has completed;
    voxels are those of ``image_mask``, which are what most methods look at, else of the volume that
    was restored.

    Args:
        table: The measures of the same evaluator, with its ``methods`` (name to key) and
            ``output_dir``; it must stand before this handler.
        inferer: The evaluator's, which restores with the model.
    """

    columns = SERIES_TIME_COLUMNS
    measure = "seconds"

    def __init__(self, table: MethodTable, inferer: TimedInferer) -> None:
        super().__init__(table.output_dir, table.methods, inferer)

    def about(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return which scan it was, and its number of voxels."""
        inside = "image_mask" in data
        voxels = int(data["image_mask"].sum()) if inside else data["pred"][0].numel()
        return {"scan": str(data.get("scan", "")), "voxels": voxels}
