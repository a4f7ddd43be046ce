"""What the page of an evaluation on diffusion series shows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from custom.data.csv_table import read_table
from custom.handlers.dwi_figures import DWI_FIGURE_COLUMNS

__all__ = ["dwi_content"]

_NEITHER = ("coverage_1sd", "coverage_2sd")  # measures that should be right, not small


def dwi_content(folder: Path, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Gather what the page shows; figures as the bytes of their files, under ``png``.

    Args:
        folder: Output folder of an evaluation.
        summary: Content of its ``summary.json``.

    Raises:
        KeyError: If the summary is not that of such an evaluation.
    """
    tables = {"all scans": summary["overall"]} | {
        f"noise {level} of S0": values for level, values in summary["by_noise_level"].items()
    }
    compared = [name for name in summary["metrics"] if name not in _NEITHER]
    table = folder / "figures" / "figures.csv"
    rows = read_table(table, DWI_FIGURE_COLUMNS) if table.is_file() else []
    files = [(row, table.parent / row["file"]) for row in rows]
    return {
        "title": f"Evaluation on {summary['dataset'].get('name', 'a dataset')}",
        "summary": summary,
        "tables": tables,
        "neither": _NEITHER,
        "best": {
            (title, name): _least(values, name)
            for title, values in tables.items()
            for name in compared
        },
        "figures": [{**row, "png": file.read_bytes()} for row, file in files if file.is_file()],
    }


def _least(values: Mapping[str, Any], name: str) -> str:
    """Return the method with the smallest mean of an error."""
    means = {method: row[name]["mean"] for method, row in values.items()}
    known = {method: mean for method, mean in means.items() if mean is not None}
    return min(known, key=known.__getitem__) if known else ""
