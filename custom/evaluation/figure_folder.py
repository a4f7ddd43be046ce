"""The folder of an evaluation's figures, and the table that says what they show."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from custom.files.atomic import atomic_path
from custom.files.csv_table import write_table

__all__ = ["write_figures"]

T = TypeVar("T")


def write_figures(
    folder: Path,
    columns: Sequence[str],
    items: Iterable[tuple[T, Sequence[Any]]],
    draw: Callable[[T], Any],
    dots_per_inch: int,
) -> None:
    """Draw items one after the other, and write ``figures.csv``; earlier figures go.

    Args:
        folder: Where the pictures go.
        columns: Of the table; the first is the file's name.
        items: What is drawn, and its row of the table.
        draw: Makes a matplotlib figure of an item.
        dots_per_inch: Resolution of the pictures.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    rows = []
    for item, row in items:
        with atomic_path(folder / row[0]) as temporary:
            draw(item).savefig(temporary, dpi=dots_per_inch)
        rows.append(dict(zip(columns, row, strict=True)))
    write_table(folder / "figures.csv", columns, rows)
