"""What the pages of all evaluations have in common: pictures inside the page, the best method."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from custom.evaluation.names import higher_is_better
from custom.evaluation.panels import FIGURE_COLUMNS
from custom.files.csv_table import read_table

__all__ = ["as_source", "best_method", "best_of", "chosen_figures", "embed", "page_title"]


def page_title(summary: Mapping[str, Any]) -> str:
    """Return the title of an evaluation's page.

    Args:
        summary: Content of its ``summary.json``.
    """
    return f"Evaluation on {summary['dataset'].get('name', 'a dataset')}"


def chosen_figures(folder: Path) -> list[dict[str, Any]]:
    """Return the figures of an evaluation with what their table says, and their ``source``.

    Args:
        folder: Output folder of the evaluation.
    """
    table = folder / "figures" / "figures.csv"
    rows = read_table(table, FIGURE_COLUMNS) if table.is_file() else []
    files = [(row, table.parent / row["file"]) for row in rows]
    return [
        {**row, "source": as_source(file.read_bytes())} for row, file in files if file.is_file()
    ]


def best_method(values: Mapping[str, Any], name: str) -> str:
    """Return the method with the best mean of a measure, or nothing if there is no mean.

    Args:
        values: Method to measure to ``mean``.
        name: The measure.
    """
    return best_of({method: row[name]["mean"] for method, row in values.items()}, name)


def best_of(values: Mapping[str, float | None], name: str) -> str:
    """Return the method with the best value of a measure, or nothing if there is no value.

    Args:
        values: Method to value.
        name: The measure.
    """
    known = {method: value for method, value in values.items() if value is not None}
    choose = max if higher_is_better(name) else min
    return choose(known, key=known.__getitem__) if known else ""


def embed(figure: Figure) -> Markup:
    """Return a figure as the address of an image that the page carries itself."""
    memory = BytesIO()
    figure.savefig(memory, format="png", dpi=110)
    return as_source(memory.getvalue())


def as_source(png: bytes) -> Markup:
    """Return a PNG file as a data address."""
    return Markup("data:image/png;base64,") + base64.b64encode(png).decode("ascii")
