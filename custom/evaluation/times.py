"""Collect the times of each method of an evaluation, and write them as CSV."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from custom.evaluation.table import ItemHandler, QualityTable
from custom.files.csv_table import write_table
from custom.inferers.timed_inferer import TimedInferer

__all__ = ["Times", "summarise_seconds"]


@dataclass(eq=False)
class Times(ItemHandler):
    """Keep the seconds that each method took for a scan, on the same machine, one by one.

    Those of the model and of its peers are measured by
    :class:`~custom.inferers.timed_inferer.TimedInferer`, those of the classical methods as they
    run while loading, where they store them under their key with the suffix ``_seconds``
    (:mod:`custom.transforms.dwi_baselines`). Loading, the estimates of scale and noise, and
    measuring do not count.

    Writes ``times.csv`` (``scan, method, slices, voxels, seconds``) when the evaluator has
    completed; voxels are those of ``image_mask``, which most methods are restricted to, else of the
    volume that was restored.

    Args:
        table: The measures of the same evaluator; it must stand before this handler.
        inferer: The evaluator's inferer, which restores with the model.
    """

    table: QualityTable
    inferer: TimedInferer
    rows: list[dict[str, Any]] = field(default_factory=list, init=False)

    def start(self) -> None:
        """Discard the times of an earlier run."""
        self.rows = []

    def keep(self, item: dict[str, Any]) -> None:
        """Keep the times of an item."""
        inside, restored = item.get("image_mask"), item["pred"]
        about = {
            "scan": str(item.get("scan", "")),
            "slices": restored.shape[-1],
            "voxels": restored[0].numel() if inside is None else int(inside.sum()),
        }
        keys = {method: f"{key}_seconds" for method, key in self.table.methods.items()}
        seconds = {method: float(item[key]) for method, key in keys.items() if key in item}
        seconds["model"] = self.inferer.seconds
        self.rows += [
            {**about, "method": method, "seconds": taken} for method, taken in seconds.items()
        ]

    def write(self) -> None:
        """Write the table."""
        columns = ("scan", "method", "slices", "voxels", "seconds")
        write_table(self.table.output_dir / "times.csv", columns, self.rows)


def summarise_seconds(
    rows: Sequence[Mapping[str, Any]], per: str = "scan"
) -> dict[str, dict[str, Any]]:
    """Return the time for a scan, or for one of its slices, by method.

    Medians, since a scan restored while the machine did something else is no measure of a method.

    Args:
        rows: One row for each scan and method, the scans in the same order for all, as
            :class:`Times` collects them.
        per: ``scan`` or ``slice``.

    Returns:
        Method, the model first, to ``median``, ``min`` and ``max`` of the seconds, ``scans``, and,
        except for the model itself, ``model_ratio``: the median over scans of the model's time
        divided by the method's.
    """
    taken: dict[str, list[float]] = {}
    for row in sorted(rows, key=lambda row: row["method"] != "model"):
        parts = row["slices"] if per == "slice" else 1
        taken.setdefault(row["method"], []).append(row["seconds"] / parts)
    result: dict[str, dict[str, Any]] = {}
    for method, seconds in taken.items():
        result[method] = {
            "median": statistics.median(seconds),
            "min": min(seconds),
            "max": max(seconds),
            "scans": len(seconds),
        }
        if method != "model":
            ratios = [model / other for model, other in zip(taken["model"], seconds, strict=True)]
            result[method]["model_ratio"] = statistics.median(ratios)
    return result
