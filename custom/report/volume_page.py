"""What the page of an evaluation on volumes shows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from custom.data.csv_table import read_table
from custom.handlers.volume_figures import VOLUME_FIGURE_COLUMNS
from custom.report.method_names import higher_is_better

__all__ = ["volume_content"]


def volume_content(folder: Path, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Gather what the page shows; figures as the bytes of their files, under ``png``.

    Args:
        folder: Output folder of an evaluation.
        summary: Content of its ``summary.json``.

    Raises:
        KeyError: If the summary is not that of such an evaluation.
    """
    table = folder / "figures" / "figures.csv"
    rows = read_table(table, VOLUME_FIGURE_COLUMNS) if table.is_file() else []
    files = [(row, table.parent / row["file"]) for row in rows]
    return {
        "title": f"Evaluation on {summary['dataset'].get('name', 'a dataset')}",
        "summary": summary,
        "best": {
            (level, name): _best(values, name)
            for level, values in summary["by_noise_level"].items()
            for name in summary["metrics"]
        },
        "best_of_scan": {
            scan: _first(values, "psnr") for scan, values in summary["by_scan"].items()
        },
        "figures": [{**row, "png": file.read_bytes()} for row, file in files if file.is_file()],
    }


def _best(values: Mapping[str, Any], name: str) -> str:
    """Return the method with the best mean of a measure."""
    return _first({method: {name: row[name]["mean"]} for method, row in values.items()}, name)


def _first(values: Mapping[str, Any], name: str) -> str:
    """Return the method with the best value of a measure."""
    known = {method: row[name] for method, row in values.items() if row[name] is not None}
    choose = max if higher_is_better(name) else min
    return choose(known, key=known.__getitem__) if known else ""
