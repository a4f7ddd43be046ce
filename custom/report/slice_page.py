"""What the page of an evaluation on slices shows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from custom.files.csv_table import read_table
from custom.report.page_parts import best_method, chosen_figures, page_title

__all__ = ["slice_content"]


def slice_content(folder: Path, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Gather what the page shows.

    Args:
        folder: Output folder of an evaluation.
        summary: Content of its ``summary.json``.

    Raises:
        KeyError: If the summary is not that of such an evaluation.
    """
    tables = {"All slices": {"": summary["overall"]}} | {
        f"By {group}": summary[f"by_{group}"] for group in ("plane", "region", "animal")
    }
    metrics = summary["metrics"]
    return {
        "title": page_title(summary),
        "summary": summary,
        "tables": tables,
        "best": {
            (title, group, name): best_method(values, name)
            for title, groups in tables.items()
            for group, values in groups.items()
            for name in metrics
        },
        "cnr": read_table(folder / "cnr.csv") if (folder / "cnr.csv").is_file() else [],
        "figures": chosen_figures(folder),
    }
