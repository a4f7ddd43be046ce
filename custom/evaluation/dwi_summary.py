"""Summarise an evaluation on diffusion series: overall, and by noise level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from custom.evaluation.dwi_table import ABOUT_COLUMNS, MEASURES, DwiQualityTable
from custom.evaluation.names import measure_name, method_name
from custom.evaluation.summary_parts import (
    by_method,
    read_measures,
    spread,
    text_table,
)
from custom.evaluation.summary_writer import SummaryWriter
from custom.evaluation.time_summary import summarise_seconds

__all__ = [
    "DWI_KIND",
    "DwiSummary",
    "dwi_table",
    "format_small",
    "read_dwi_metrics",
    "summarise_dwi",
]

DWI_KIND = "dwi evaluation"
_TEXT = ("scan", "subject", "method")
_SHOWN = ("mse", "d_mse", "md_mae", "fa_mae")  # on the console
CONVENTIONS = {
    "signal": "divided by the voxel's true S0: the item's s0, else the mean of the truth's volumes "
    "of b <= 50 s/mm2",
    "voxels": "those of the item's mask, the same for every method",
    "mse": "of all voxels and volumes of a scan, in squared units of S0",
    "nrmse": "norm of the error over norm of the truth, in units of S0",
    "refit": "weighted log-linear least squares, floor 0.01, S0 = 1 known, for every method alike",
    "d_mse": "over voxels and the six elements, against the item's tensor, else the truth's refit",
    "coverage": "share of true values within 1 and 2 deviations that the model gives; 0.683 and "
    "0.954 for a Gaussian error of that deviation",
    "spread": "mean and sample standard deviation over scans",
    "seconds": "of the restoration of one scan alone, median and range over scans, on the machine "
    "of this evaluation",
}


class DwiSummary(SummaryWriter[DwiQualityTable]):
    """Write ``summary.json`` of an evaluation on diffusion series."""

    kind = DWI_KIND
    conventions = CONVENTIONS
    packages = ("dipy", "scikit-learn")

    def measured(self) -> dict[str, Any]:
        """Return the measures, overall and by noise level, and what the methods took."""
        rows = read_dwi_metrics(self.table.output_dir)
        return {
            "scans": len({row["scan"] for row in rows}),
            **summarise_dwi(rows),
            "noise": sorted(self.table.noise_sources),
            "seconds": summarise_seconds(self.time_rows),
        }

    def as_text(self, summary: Mapping[str, Any]) -> str:
        """Return :func:`dwi_table`."""
        return dwi_table(summary)


def read_dwi_metrics(folder: str | Path) -> list[dict[str, Any]]:
    """Read ``metrics.csv`` of an evaluation; measures are numbers, and None where there is none.

    Args:
        folder: Output folder of an evaluation.

    Raises:
        InputError: If the table is missing, empty, or not that of an evaluation of this kind.
    """
    return read_measures(folder, (*ABOUT_COLUMNS, *MEASURES), _TEXT, gaps=True)


def summarise_dwi(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Average the measures of each method over all scans, and over those of each noise level.

    Args:
        rows: One for each scan and method, as :func:`read_dwi_metrics` gives them.

    Returns:
        ``methods`` and ``metrics`` (their names; without the measures that no method has),
        ``overall`` (method to measure to ``mean``, ``std``, ``n``), ``by_noise_level`` (level in
        units of S0 to the same; weakest noise first), ``noise_estimate`` (level to that of the
        estimates).
    """
    methods = list(dict.fromkeys(row["method"] for row in rows))
    metrics = [name for name in MEASURES if any(row[name] is not None for row in rows)]
    levels = sorted({row["noise_level"] for row in rows}, key=lambda level: (level is None, level))
    groups = {
        _level(level): [row for row in rows if row["noise_level"] == level] for level in levels
    }
    return {
        "methods": methods,
        "metrics": metrics,
        "overall": by_method(rows, methods, metrics),
        "by_noise_level": {
            level: by_method(group, methods, metrics) for level, group in groups.items()
        },
        "noise_estimate": {
            level: spread(
                row["noise_estimate"]
                for row in group
                if row["method"] == methods[0] and row["noise_estimate"] is not None
            )
            for level, group in groups.items()
        },
    }


def dwi_table(summary: Mapping[str, Any]) -> str:
    """Return the result as plain text: signal MSE by noise level, then the tensor's errors overall.

    Args:
        summary: Content of ``summary.json``.
    """
    names, levels = summary.get("method_names"), summary["by_noise_level"]
    shown = [name for name in _SHOWN if name in summary["metrics"]]
    times = summary.get("seconds", {})
    lines = [
        [
            "",
            *(f"MSE at {level}" for level in levels),
            *map(measure_name, shown),
            *(["s/scan"] if times else []),
        ]
    ]
    for method in summary["methods"]:
        by_level = [format_small(levels[level][method]["mse"]) for level in levels]
        overall = [format_small(summary["overall"][method][name]) for name in shown]
        time = [f"{times[method]['median']:.3g}"] if method in times else []
        lines.append([method_name(method, names), *by_level, *overall, *time])
    caption = (
        f"Means over {summary['scans']} scans of the split {summary['split']!r}; signals in units "
        "of the true S0, columns 'MSE at' by noise level. D is refitted by weighted least squares."
    )
    return text_table(lines, caption)


def format_small(value: Mapping[str, Any]) -> str:
    """Return a mean with three digits, however small; ``-`` where there is none."""
    return "-" if value["mean"] is None else f"{value['mean']:.3g}"


def _level(level: float | None) -> str:
    """Return the name of a noise level."""
    return "unknown" if level is None else f"{level:g}"
