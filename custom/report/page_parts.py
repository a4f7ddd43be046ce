"""Pictures inside a page."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from custom.evaluation.panels import FIGURE_COLUMNS
from custom.files.csv_table import read_table

__all__ = ["as_source", "chosen_figures", "embed"]


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


def embed(figure: Figure) -> Markup:
    """Return a figure as the address of an image that the page carries itself."""
    memory = BytesIO()
    figure.savefig(memory, format="png", dpi=110)
    return as_source(memory.getvalue())


def as_source(png: bytes) -> Markup:
    """Return a PNG file as a data address."""
    return Markup("data:image/png;base64,") + base64.b64encode(png).decode("ascii")
