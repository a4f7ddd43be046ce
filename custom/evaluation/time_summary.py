"""Summarise how long methods took for a slice, or for a scan."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["summarise_seconds", "summarise_times"]


def summarise_times(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return what a slice takes, by method, over scans.

    Medians, since a scan restored while the machine did something else is no measure of a method.

    Args:
        rows: One for each scan and method, the scans in the same order for all, as
            :class:`~custom.evaluation.restoration_times.RestorationTimes` collects them.

    Returns:
        Method, the model first, to ``median``, ``min`` and ``max`` (seconds a slice), ``scans``,
        ``slices``, and, but for the model itself, ``model_ratio``: the median over scans of the
        model's time divided by the method's.
    """
    methods = sorted({row["method"] for row in rows}, key=lambda name: (name != "model", name))
    result: dict[str, dict[str, Any]] = {}
    for method in methods:
        own = [row for row in rows if row["method"] == method]
        seconds = [row["seconds_per_slice"] for row in own]
        result[method] = {
            "median": statistics.median(seconds),
            "min": min(seconds),
            "max": max(seconds),
            "scans": len(own),
            "slices": sum(row["slices"] for row in own),
        }
        if method == "model":
            of_model = seconds
        else:
            ratios = [model / other for model, other in zip(of_model, seconds, strict=True)]
            result[method]["model_ratio"] = statistics.median(ratios)
    return result


def summarise_seconds(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Return method to ``median``, ``min`` and ``max`` of the seconds of its scans.

    Args:
        rows: As :class:`~custom.evaluation.series_times.SeriesTimes` collects them.
    """
    seconds: dict[str, list[float]] = {}
    for row in rows:
        seconds.setdefault(row["method"], []).append(float(row["seconds"]))
    return {
        method: {"median": statistics.median(taken), "min": min(taken), "max": max(taken)}
        for method, taken in seconds.items()
    }
