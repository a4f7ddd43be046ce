"""Content of a search's page, read from the search's folder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from custom.files.csv_table import read_table

__all__ = ["SEARCH_SUMMARY", "format_setting", "search_content"]

SEARCH_SUMMARY = "search.json"
_PICTURES = {
    "history": "Each completed trial, and the best so far.",
    "intermediate": "Trials by epoch, without failed ones; a pruned trial ends early.",
    "importances": "How much each parameter has to do with a trial being good (PED-ANOVA).",
    "slice": "Value against each parameter; the darker, the later the trial.",
}
_RATHER_FEW = 20  # completed trials, below which importances change from search to search


def search_content(folder: Path, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a search's page.

    Args:
        folder: Output folder of ``tune``.
        summary: Content of its ``search.json``.

    Returns:
        Title, summary, rows of the table, best trial first, and the pictures that are there.

    Raises:
        InputError: If the table of trials is broken.
        KeyError: If the summary is not that of a search.
    """
    rows = read_table(folder / "trials.csv", ("trial", "state", "value", "notes"))
    rows.sort(key=lambda row: _place(row, summary["direction"]))
    pictures: list[dict[str, Any]] = [
        {"text": text, "path": folder / "plots" / f"{name}.png"} for name, text in _PICTURES.items()
    ]
    return {
        "title": f"Search {summary['study']}",
        "summary": summary,
        "columns": [name for name in (rows[0] if rows else ()) if name != "notes"],
        "rows": rows,
        "few": summary["trials"].get("complete", 0) < _RATHER_FEW,
        "pictures": [picture for picture in pictures if picture["path"].is_file()],
    }


def format_setting(value: Any) -> str:
    """Return a parameter's value as text, numbers with four digits.

    >>> [format_setting(value) for value in (0.00123456, "0.00123456", 32, "strided", True)]
    ['0.001235', '0.001235', '32', 'strided', 'True']
    """
    try:
        return f"{float(value):.4g}" if "." in str(value) or "e-" in str(value) else str(value)
    except (TypeError, ValueError):
        return str(value)


def _place(row: Mapping[str, str], direction: str) -> tuple[float, int]:
    """Return the sort key of a trial: by value, then those without one by number."""
    sign = 1 if direction == "minimize" else -1
    return (sign * float(row["value"]) if row["value"] else math.inf, int(row["trial"]))
