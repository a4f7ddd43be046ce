"""Summarise an evaluation on volumes: without noise, and by noise level."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from custom.evaluation.names import (
    format_measure,
    higher_is_better,
    measure_name,
    method_name,
)
from custom.evaluation.series_times import SeriesTimes
from custom.evaluation.summary_parts import (
    by_method,
    read_measures,
    spread,
    text_table,
)
from custom.evaluation.summary_writer import SummaryWriter
from custom.evaluation.time_summary import summarise_seconds
from custom.evaluation.volume_table import ABOUT_COLUMNS, MEASURES, VolumeQualityTable

__all__ = [
    "VOLUME_KIND",
    "VolumeSummary",
    "format_value",
    "read_volume_metrics",
    "summarise_volumes",
    "volume_table",
]

VOLUME_KIND = "volume evaluation"
_TEXT = ("scan", "subject", "method")
_NO_LPIPS = "no backbone weights given (config id lpips_weights); nothing is downloaded"
CONVENTIONS = {
    "data_range": "max - min of the reference volume",
    "psnr": "10 log10(data_range^2 / MSE) over the whole volume, in dB",
    "ssim": "scikit-image, 3D Gaussian window of 1.5 voxels, 11 wide, K1 0.01, K2 0.03; mean over "
    "the voxels whose window lies inside the volume",
    "foreground": "psnr_foreground and ssim_foreground count the voxels above Otsu's threshold of "
    "the reference",
    "nrmse": "norm of the error over norm of the reference",
    "kspace_error": "the same over the central 50 x 50 x 50 samples of k-space, or what the "
    "low-resolution grid holds if that is less",
    "lpips": "AlexNet, mean over the slices of the last axis; trained on photographs",
    "noise": "Gaussian, added to the reference before downsampling, in deviations of the whole "
    "reference; compared is with the reference without it",
    "spread": "mean and sample standard deviation over volumes",
    "seconds": "of the restoration of one volume alone, median and range, on the machine of this "
    "evaluation",
}


class VolumeSummary(SummaryWriter[VolumeQualityTable]):
    """Write ``summary.json`` beside the tables of an evaluation on volumes.

    Args:
        table: The measures, after the evaluator has run.
        ckpt_path: Weights that were evaluated.
        dataset_dir: The dataset's folder.
        split: The split that was evaluated.
        degradation: How the low-resolution volumes were made.
        data_consistency: Strength with which ``model_consistent`` keeps the measured k-space.
        times: How long the methods took, if that was measured.
        peers: What the evaluator ran besides; of each network among it the weights are named.
        method_names: What methods are called in the report, for example ``{"model": "DISGAN"}``.
    """

    kind = VOLUME_KIND
    conventions = CONVENTIONS
    packages = ("scipy", "dipy", "scikit-image")

    def __init__(
        self,
        table: VolumeQualityTable,
        ckpt_path: str | Path,
        dataset_dir: str | Path,
        split: str,
        degradation: str,
        data_consistency: float | None = None,
        times: SeriesTimes | None = None,
        peers: Iterable[Any] = (),
        method_names: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(table, ckpt_path, dataset_dir, split, times, peers, method_names)
        self.degradation = degradation
        self.data_consistency = data_consistency

    def measured(self) -> dict[str, Any]:
        """Return the measures, overall and by noise level, and what the methods took."""
        rows = read_volume_metrics(self.table.output_dir)
        found = summarise_volumes(rows)
        with_lpips = "lpips" in found["metrics"]
        return {
            "scans": len({row["scan"] for row in rows}),
            "degradation": self.degradation,
            "data_consistency": self.data_consistency,
            **found,
            "seconds": summarise_seconds(self.time_rows),
            "lpips": {"computed": with_lpips} | ({} if with_lpips else {"reason": _NO_LPIPS}),
        }

    def as_text(self, summary: Mapping[str, Any]) -> str:
        """Return :func:`volume_table`."""
        return volume_table(summary)


def read_volume_metrics(folder: str | Path) -> list[dict[str, Any]]:
    """Read ``metrics.csv`` of an evaluation; measures are numbers, and None where there is none.

    Args:
        folder: Output folder of an evaluation.

    Raises:
        InputError: If the table is missing, empty, or not that of an evaluation of this kind.
    """
    return read_measures(folder, (*ABOUT_COLUMNS, *MEASURES), _TEXT, gaps=True)


def summarise_volumes(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Average the measures of each method over volumes, at each noise level.

    Args:
        rows: One for each scan, noise level and method, as :func:`read_volume_metrics` gives them.

    Returns:
        ``methods`` and ``metrics`` (their names; without a measure that no method has), ``overall``
        (method to measure to ``mean``, ``std``, ``n``, at the lowest noise level, which is
        ``lowest_noise``), ``by_noise_level`` (level to the same; weakest noise first), ``by_scan``
        (scan to method to measure to its value, at the lowest level), and ``model_against`` (method
        to measure to the gain of the model over it, ``better`` on how many of ``volumes``).
    """
    methods = list(dict.fromkeys(row["method"] for row in rows))
    metrics = [name for name in MEASURES if any(row[name] is not None for row in rows)]
    levels = sorted({row["noise_level"] for row in rows})
    groups = {
        f"{level:g}": [row for row in rows if row["noise_level"] == level] for level in levels
    }
    lowest = f"{levels[0]:g}"
    by_level = {level: by_method(group, methods, metrics) for level, group in groups.items()}
    by_scan: dict[str, dict[str, dict[str, Any]]] = {}
    for row in groups[lowest]:
        values = {name: _finite(row[name]) for name in metrics}
        by_scan.setdefault(row["scan"], {})[row["method"]] = values
    return {
        "methods": methods,
        "metrics": metrics,
        "lowest_noise": lowest,
        "overall": by_level[lowest],
        "by_noise_level": by_level,
        "by_scan": by_scan,
        "model_against": {
            method: _gains(by_scan, method, metrics) for method in methods if method != "model"
        },
    }


def volume_table(summary: Mapping[str, Any]) -> str:
    """Return the result as plain text: all measures at the lowest noise, then PSNR by noise level.

    Args:
        summary: Content of ``summary.json``.
    """
    names, levels = summary.get("method_names"), summary["by_noise_level"]
    shown, times = summary["metrics"], summary.get("seconds", {})
    noisy = [level for level in levels if level != summary["lowest_noise"]]
    head = [*map(measure_name, shown), *(f"PSNR at {level}" for level in noisy)]
    lines = [["", *head, *(["s/volume"] if times else [])]]
    for method in summary["methods"]:
        values = [format_value(name, summary["overall"][method][name]) for name in shown]
        values += [format_value("psnr", levels[level][method]["psnr"]) for level in noisy]
        time = [f"{times[method]['median']:.3g}"] if method in times else []
        lines.append([method_name(method, names), *values, *time])
    caption = (
        f"Means over {summary['scans']} volumes of the split {summary['split']!r}, downsampled "
        f"({summary['degradation']}), noise {summary['lowest_noise']}; the last columns with noise "
        "of that many deviations added before downsampling. Data range max - min of the reference."
    )
    return text_table(lines, caption)


def format_value(measure: str, value: Mapping[str, Any]) -> str:
    """Return a mean with the digits that mean something; ``-`` where there is none."""
    return "-" if value["mean"] is None else format_measure(measure, value["mean"])


def _finite(value: float | None) -> float | None:
    """Return a number that JSON can hold, or None."""
    return value if value is not None and math.isfinite(value) else None


def _gains(
    by_scan: Mapping[str, Mapping[str, Mapping[str, Any]]], other: str, metrics: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Compare the model with another method on the same volumes."""
    result: dict[str, dict[str, Any]] = {}
    for name in metrics:
        sign = 1 if higher_is_better(name) else -1
        pairs = [(values["model"][name], values[other][name]) for values in by_scan.values()]
        gains = [sign * (own - their) for own, their in pairs if None not in (own, their)]
        better = sum(gain > 0 for gain in gains)
        result[name] = spread(gains) | {"better": better, "volumes": len(gains)}
    return result
