"""Folders of figures with a table of their captions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from custom.errors import InputError
from custom.files.atomic import atomic_path, sha256_of, write_json
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


def write_diagnostics(
    output_dir: str | Path, found: Iterable[Diagnostic], dots_per_inch: int = 110
) -> Path:
    """Write ``diagnostics/*.png``, ``captions.csv`` and ``diagnostics.json``.

    Figures of an earlier evaluation are removed. The numbers carry the hash of the evaluation's
    ``summary.json``, if there is one, so that they are never shown beside another evaluation.

    Args:
        output_dir: Output folder of the evaluation.
        found: Figures in the order in which to show them; drawn one at a time.
        dots_per_inch: Resolution of the figures.

    Returns:
        The folder.
    """
    folder = Path(output_dir) / "diagnostics"
    # First, so that a run that breaks off leaves no old numbers beside new pictures.
    for old in (folder / "diagnostics.json", folder / "captions.csv"):
        old.unlink(missing_ok=True)
    numbers: dict[str, Any] = {"evaluation": _evaluation(output_dir)}

    def drawn() -> Iterator[tuple[dict[str, Any], Callable[[], Figure]]]:
        for item in found:
            numbers[item.name] = item.numbers
            about = (f"{item.name}.png", item.title, item.caption)
            yield dict(zip(_COLUMNS, about, strict=True)), partial(getattr, item, "figure")

    write_figures(folder, _COLUMNS, drawn(), dots_per_inch, "captions.csv")
    write_json(folder / "diagnostics.json", numbers)
    return folder


def write_figures(
    folder: Path,
    columns: Sequence[str],
    found: Iterable[tuple[Mapping[str, Any], Callable[[], Figure]]],
    dots_per_inch: int,
    table: str = "figures.csv",
) -> None:
    """Draw figures one after the other and write their table; earlier figures are removed.

    Args:
        folder: Folder of the pictures.
        columns: Columns of the table.
        found: For each figure its row of the table, with ``file``, and a function that draws it.
        dots_per_inch: Resolution of the pictures.
        table: Name of the table.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    rows = []
    for row, draw in found:
        with atomic_path(folder / row["file"]) as temporary:
            draw().savefig(temporary, dpi=dots_per_inch)
        rows.append(row)
    write_table(folder / table, columns, rows)


def read_diagnostics(output_dir: str | Path) -> list[dict[str, Any]]:
    """Return title, caption and ``path`` of each figure that belongs to the evaluation.

    Args:
        output_dir: Output folder of an evaluation.

    Returns:
        An empty list if there are no diagnostics, or only those of an earlier evaluation.

    Raises:
        InputError: If they are broken.
    """
    folder = Path(output_dir) / "diagnostics"
    record = folder / "diagnostics.json"
    if not record.is_file():
        return []
    try:
        made_for = json.loads(record.read_text(encoding="utf-8"))["evaluation"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{record} is not a record of diagnostics: evaluate again") from error
    if made_for != _evaluation(output_dir):
        return []
    return read_figures(folder / "captions.csv", _COLUMNS)


def read_figures(table: Path, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows of a table of figures whose file is there, each with its ``path``."""
    rows: list[dict[str, Any]] = [
        {**row, "path": table.parent / row["file"]} for row in read_table(table, columns)
    ]
    return [row for row in rows if row["path"].is_file()]


def _evaluation(output_dir: str | Path) -> str | None:
    """Return the hash that identifies an evaluation."""
    summary = Path(output_dir) / "summary.json"
    return sha256_of(summary) if summary.is_file() else None
