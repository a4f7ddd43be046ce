"""Compare the deviations that a model predicts with its errors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from scipy.stats import spearmanr

from custom.evaluation.table import ItemHandler, QualityTable
from custom.evaluation.units import Images

__all__ = ["CalibrationTable"]


class CalibrationTable(ItemHandler):
    r"""Collect, for each unit, the deviation :math:`s` of its voxels and the error :math:`e`.

    A deviation may be called an uncertainty where *spread over error*,
    :math:`\sqrt{\sum s^2 / \sum e^2}`, is 0.9 to 1.15, and the shares of :math:`|e| \le s` and
    :math:`|e| \le 2 s` are near those of a normal distribution, 68.3 and 95.4 %. The rank
    correlation (Spearman) over units says whether it tells good restorations from bad ones.
    A part of the :class:`~custom.evaluation.summary_file.Summary`.

    Args:
        table: Measures of the same evaluator; it must stand before this handler.
        method: Whose deviation it is.
        deviation_key: Key of the deviations.
        region: Region of the units whose voxels count; None: all voxels.
        group: Column whose groups are tabulated besides all units together.
    """

    def __init__(
        self,
        table: QualityTable,
        method: str = "model",
        deviation_key: str = "spread",
        region: str | None = None,
        group: str | None = None,
    ) -> None:
        self.table = table
        self.method = method
        self.deviation_key = deviation_key
        self.region = region
        self.group = group
        self.start()

    def start(self) -> None:
        """Discard the units of an earlier run."""
        self.rows: list[dict[str, Any]] = []

    def keep(self, item: dict[str, Any]) -> None:
        """Add the units of an item, where it has deviations."""
        units: Images | None = self.table.units(item)
        deviations = units.image(self.deviation_key) if units is not None else None
        if units is None or deviations is None:
            return
        found = units.compare(self.method, self.table.methods[self.method])
        errors = (found.predicted - found.reference).abs()
        mask = units.mask(self.region) if self.region is not None else None
        for number, about in enumerate(units.rows):
            error, deviation = errors[number], deviations[number]
            if mask is not None:
                inside = mask[number].bool()
                error, deviation = error[inside], deviation[inside]
            if error.numel() > 0:
                self.rows.append(
                    {
                        "group": about.get(self.group) if self.group else None,
                        "voxels": error.numel(),
                        "error": float(error.square().mean()),
                        "deviation": float(deviation.square().mean()),
                        "one": float((error <= deviation).double().mean()),
                        "two": float((error <= 2 * deviation).double().mean()),
                    }
                )

    def facts(self) -> dict[str, str]:
        """Return nothing: the table says it."""
        return {}

    def tables(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return spread over error, coverage and rank correlation."""
        if not self.rows:
            return []
        groups = sorted({row["group"] for row in self.rows} - {None})
        lines = [_line("all", self.rows)]
        lines += [_line(name, [r for r in self.rows if r["group"] == name]) for name in groups]
        return [
            {
                "title": "Calibration of the deviation",
                "columns": [
                    *(self.group or "units", "units", "spread over error"),
                    *("within 1 sd", "within 2 sd", "rank correlation"),
                ],
                "rows": lines,
                "caption": "A calibrated normal deviation has a spread over error of 1, and 0.683 "
                "and 0.954 of the errors within one and two deviations. Rank correlation: "
                "Spearman's between the root mean squares of deviation and error, over units.",
            }
        ]


def _line(name: str, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Return the line of a group; voxels count alike."""
    voxels = sum(row["voxels"] for row in rows)

    def mean(key: str) -> float:
        return float(sum(row["voxels"] * row[key] for row in rows) / voxels)

    rank = math.nan
    if len(rows) > 2:
        deviations, errors = ([row[key] for row in rows] for key in ("deviation", "error"))
        rank = float(spearmanr(deviations, errors).statistic)
    spread = math.sqrt(mean("deviation") / mean("error")) if mean("error") > 0 else math.inf
    numbers = [spread, mean("one"), mean("two"), rank]
    return [name, len(rows), *(round(n, 3) if math.isfinite(n) else None for n in numbers)]
