"""Collect how long the model and its peers took for a slice, and write it as CSV."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from custom.evaluation.method_times import MethodTimes
from custom.evaluation.slice_table import SCAN_COLUMNS

__all__ = ["TIME_COLUMNS", "RestorationTimes"]

TIME_COLUMNS = (*SCAN_COLUMNS, "slices", "method", "seconds_per_slice")


class RestorationTimes(MethodTimes):
    """Keep the seconds a slice of the model and of each peer, one number a scan.

    Model and peers restore the same stack one after the other on the same machine. Loading,
    upsampling and measuring do not count, nor do the classical methods, which run while loading.

    Writes ``times.csv`` (``scan, animal, plane, region, slices, method, seconds_per_slice``) when
    the evaluator has completed.

    Args:
        output_dir: Folder of the table.
        methods: Name of a method to its key. Those that
            :class:`~custom.evaluation.restore_with.RestoreWithd` restored have a time.
        inferer: The evaluator's, which restores with the model.
    """

    columns = TIME_COLUMNS
    measure = "seconds_per_slice"

    def about(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return which stack it was, and its number of slices."""
        scan = {name: str(data.get(name, "")) for name in SCAN_COLUMNS}
        return scan | {"slices": data["pred"].shape[-1]}
