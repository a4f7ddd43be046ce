"""What the page of an evaluation on slices shows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from custom.evaluation.draw_slices import draw_distributions
from custom.evaluation.slice_panels import FIGURE_COLUMNS
from custom.evaluation.slice_summary import read_metrics
from custom.files.csv_table import read_table
from custom.report.page_parts import best_method, chosen_figures, embed, page_title

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
    metrics, names = summary["metrics"], summary.get("method_names")
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
        "distributions": embed(draw_distributions(read_metrics(folder), metrics, names)),
        "cnr": read_table(folder / "cnr.csv") if (folder / "cnr.csv").is_file() else [],
        "figures": chosen_figures(folder, FIGURE_COLUMNS),
    }
