"""Folders of figures with a table of their captions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from custom.files.atomic import atomic_path, write_json
from custom.files.csv_table import read_table, write_table

__all__ = ["Diagnostic", "read_diagnostics", "read_figures", "write_diagnostics", "write_figures"]

_COLUMNS = ("file", "title", "caption")


@dataclass(frozen=True)
class Diagnostic:
    """One figure and its numbers.

    Args:
        name: Name of the file without its suffix; also the key of the numbers.
        title: Short title.
        caption: Caption.
        figure: The figure.
        numbers: Entry ``name`` of ``diagnostics.json``; only values that JSON can hold.
    """

    name: str
    title: str
    caption: str
    figure: Figure
    numbers: dict[str, Any] = field(default_factory=dict)


def write_diagnostics(output_dir: str | Path, found: Iterable[Diagnostic]) -> Path:
    """Write ``diagnostics/*.png``, ``captions.csv`` and ``diagnostics.json``.

    Args:
        output_dir: Output folder of the evaluation.
        found: Figures in the order in which to show them; drawn one at a time.

    Returns:
        The folder.
    """
    folder = Path(output_dir) / "diagnostics"
    numbers: dict[str, Any] = {}

    def drawn() -> Iterator[tuple[dict[str, Any], Figure]]:
        for item in found:
            numbers[item.name] = item.numbers
            about = (f"{item.name}.png", item.title, item.caption)
            yield dict(zip(_COLUMNS, about, strict=True)), item.figure

    write_figures(folder / "captions.csv", _COLUMNS, drawn())
    write_json(folder / "diagnostics.json", numbers)
    return folder


def write_figures(
    table: Path, columns: Sequence[str], found: Iterable[tuple[Mapping[str, Any], Figure]]
) -> None:
    """Write figures one after the other, and at the end their table, in the same folder.

    Args:
        table: The table.
        columns: Its columns.
        found: Each figure with its row of the table, which has the name of the ``file``.
    """
    rows = []
    for row, figure in found:
        with atomic_path(table.parent / row["file"]) as temporary:
            figure.savefig(temporary, dpi=110)
        rows.append(row)
    write_table(table, columns, rows)


def read_diagnostics(output_dir: str | Path) -> list[dict[str, Any]]:
    """Return title, caption and ``path`` of the diagnostic figures of an evaluation."""
    return read_figures(Path(output_dir) / "diagnostics" / "captions.csv", _COLUMNS)


def read_figures(table: Path, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows of a table of figures, each with its ``path``; none without a table."""
    rows = read_table(table, columns) if table.is_file() else []
    found: list[dict[str, Any]] = [{**row, "path": table.parent / row["file"]} for row in rows]
    return [row for row in found if row["path"].is_file()]
