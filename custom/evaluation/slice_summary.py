"""Summarise the table of an evaluation: overall, by plane, by region and by animal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from custom.evaluation.names import higher_is_better, measure_name, method_name
from custom.evaluation.slice_table import CNR_COLUMNS, SCAN_COLUMNS, QualityTable
from custom.evaluation.summary_parts import (
    by_method,
    read_measures,
    spread,
    text_table,
)
from custom.evaluation.summary_writer import SummaryWriter
from custom.evaluation.time_summary import summarise_times
from custom.files.csv_table import read_table

__all__ = ["EvaluationSummary", "format_mean", "read_metrics", "summarise", "summary_table"]

Row = Mapping[str, Any]
_GROUPS = ("plane", "region", "animal")
_NO_LPIPS = "no backbone weights given (config id lpips_weights); nothing is downloaded"
CONVENTIONS = {
    "data_range": "max - min of each scan's reference stack without its excluded slices, in the "
    "units of the MSE; stored beside every number in metrics.csv",
    "normaliser": "image and reference divided by the mean of the low-resolution slice",
    "mse": "in squared units of the mean of the low-resolution slice",
    "psnr": "10 log10(data_range^2 / MSE), in dB; slices equal to the reference (infinite) are "
    "counted but not averaged",
    "ssim": "Gaussian window of 1.5 pixels, 11 x 11, K1 0.01, K2 0.03, per slice",
    "spread": "mean and sample standard deviation over slices; slices of one animal are not "
    "independent",
    "seconds_per_slice": "of the restoration alone, median and range over scans, on the machine of "
    "this evaluation; model_ratio is the model's time over the method's, scan by scan",
}


class EvaluationSummary(SummaryWriter[QualityTable]):
    """Write ``summary.json`` of an evaluation on slices."""

    kind = "evaluation"
    conventions = CONVENTIONS
    packages = ("dipy", "scikit-image")

    def measured(self) -> dict[str, Any]:
        """Return the measures, overall and by group, contrast to noise, and what a slice took."""
        rows = read_metrics(self.table.output_dir)
        excluded = self.table.excluded
        with_lpips = "lpips" in rows[0]
        return {
            "slices": {
                "evaluated": len({(row["scan"], row["slice"]) for row in rows}),
                "excluded": sum(map(len, excluded.values())),
                "excluded_slices": excluded,
            },
            **summarise(rows),
            "seconds_per_slice": summarise_times(self.time_rows),
            "lpips": {"computed": with_lpips} | ({} if with_lpips else {"reason": _NO_LPIPS}),
            "cnr": self._cnr(self.table.output_dir),
        }

    def as_text(self, summary: Mapping[str, Any]) -> str:
        """Return :func:`summary_table`."""
        return summary_table(summary)

    def _cnr(self, folder: Path) -> dict[str, Any]:
        """Average the contrast-to-noise ratios."""
        rows = read_table(folder / "cnr.csv", CNR_COLUMNS)
        columns = [name for name in (rows[0] if rows else CNR_COLUMNS) if name.endswith(" CNR")]
        return {
            "slices": len(rows),
            "mean": {
                name: spread([float(row[name]) for row in rows if row[name]]) for name in columns
            },
            "left_out": dict(self.table.cnr_left_out),
        }


def read_metrics(folder: str | Path) -> list[dict[str, Any]]:
    """Read ``metrics.csv`` of an evaluation with its measures as numbers.

    Args:
        folder: Output folder of an evaluation.

    Raises:
        InputError: If the table is missing, empty, or not that of an evaluation.
    """
    columns = (*SCAN_COLUMNS, "slice", "method", "mse", "psnr", "ssim")
    return read_measures(folder, columns, {*SCAN_COLUMNS, "method"}, whole={"slice"})


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """Average the measures of each method over all slices and over groups of them.

    Args:
        rows: One for each slice and method, as :func:`read_metrics` gives them.

    Returns:
        ``methods`` and ``metrics`` (their names), ``overall`` (method to measure to ``mean``,
        ``std``, ``n``, and ``infinite`` where slices were equal to the reference), ``by_plane``,
        ``by_region``, ``by_animal`` (group to the same), and ``model_against`` (method to the
        mean gain of the model over it, slice by slice, and on how many slices it is better).
    """
    methods = list(dict.fromkeys(row["method"] for row in rows))
    metrics = [name for name in ("mse", "psnr", "ssim", "lpips") if name in rows[0]]
    groups = {
        f"by_{group}": {
            value: by_method([row for row in rows if row[group] == value], methods, metrics)
            for value in sorted({str(row[group]) for row in rows})
        }
        for group in _GROUPS
    }
    return {
        "methods": methods,
        "metrics": metrics,
        "data_range": spread([row["data_range"] for row in rows if row["method"] == methods[0]]),
        "overall": by_method(rows, methods, metrics),
        **groups,
        "model_against": _gains(rows, [name for name in methods if name != "model"], metrics),
    }


def summary_table(summary: Mapping[str, Any]) -> str:
    """Return the overall result as plain text: a line a method, mean and deviation a measure.

    Args:
        summary: Content of ``summary.json``.
    """
    metrics, names = summary["metrics"], summary.get("method_names")
    times = summary.get("seconds_per_slice", {})
    lines = [["", *map(measure_name, metrics), *(["s/slice"] if times else [])]]
    for method in summary["methods"]:
        values = summary["overall"][method]
        means = [format_mean(values[name]) for name in metrics]
        time = [f"{times[method]['median']:.3g}"] if method in times else []
        lines.append([method_name(method, names), *means, *time])
    caption = (
        f"Mean ± deviation over {summary['slices']['evaluated']} slices of the split "
        f"{summary['split']!r} ({summary['slices']['excluded']} excluded). PSNR and SSIM with the "
        f"data range max - min of each scan's kept reference slices (on average "
        f"{summary['data_range']['mean']:.3g}, in means of the low-resolution slice, as the MSE)."
    )
    return text_table(lines, caption)


def format_mean(value: Mapping[str, Any]) -> str:
    """Return ``mean ± deviation`` with three digits of the mean after its leading zeros."""
    mean, deviation = value["mean"], value["std"]
    if mean is None:
        return "-"
    digits = 2 - math.floor(math.log10(abs(mean))) if mean else 3
    digits = min(max(digits, 2), 5)
    width = "" if deviation is None else f" ± {deviation:.{digits}f}"
    return f"{mean:.{digits}f}{width}"


def _gains(
    rows: Sequence[Row], others: Sequence[str], metrics: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Compare the model with each other method on the same slices."""
    values = {(row["method"], row["scan"], row["slice"]): row for row in rows}
    places = [(row["scan"], row["slice"]) for row in rows if row["method"] == "model"]
    result: dict[str, dict[str, Any]] = {}
    for other in others:
        result[other] = {}
        for name in metrics:
            sign = 1 if higher_is_better(name) else -1
            gain = [
                sign * (values["model", *place][name] - values[other, *place][name])
                for place in places
            ]
            better = sum(value > 0 for value in gain)
            result[other][name] = spread(gain) | {"better": better, "slices": len(gain)}
    return result
