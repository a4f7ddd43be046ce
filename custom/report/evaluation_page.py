"""What the page of an evaluation shows, from its ``summary.json`` alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from custom.evaluation.measure import best_method, format_value, title
from custom.report.page_parts import chosen_figures

__all__ = ["evaluation_content"]


def evaluation_content(folder: Path, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Gather what the page shows.

    Args:
        folder: Output folder of an evaluation.
        summary: Content of its ``summary.json``.

    Raises:
        KeyError: If the summary is not that of an evaluation.
    """
    measures, names = summary["measures"], summary["method_names"]
    tables = {"Overall": summary["overall"]} | {
        f"{group.replace('_', ' ')} {value}": values
        for group, parts in summary["groups"].items()
        for value, values in parts.items()
    }
    return {
        "title": f"Evaluation on {summary['dataset'].get('name', 'a dataset')}",
        "summary": summary,
        "columns": [title(about) for about in measures.values()],
        "tables": {
            name: [
                (
                    names[method],
                    [_cell(about, values, method, of) for of, about in measures.items()],
                )
                for method in values
            ]
            for name, values in tables.items()
        },
        "figures": chosen_figures(folder),
    }


def _cell(
    about: Mapping[str, Any], values: Mapping[str, Any], method: str, measure: str
) -> tuple[str, bool]:
    """Return a mean with its deviation, and whether it is the best."""
    value = values[method][measure]
    beside = "" if value["std"] is None else f" ± {format_value(about, value['std'])}"
    best = best_method(about, {name: of[measure]["mean"] for name, of in values.items()})
    return format_value(about, value["mean"]) + beside, best == method
