"""What the summaries of all evaluations have in common."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from custom.errors import InputError
from custom.files.atomic import sha256_of
from custom.files.csv_table import read_table

__all__ = [
    "about_checkpoint",
    "about_dataset",
    "by_method",
    "read_measures",
    "spread",
    "text_table",
]


def about_checkpoint(path: Path) -> dict[str, str]:
    """Say which weights these were: ``path`` and ``sha256``."""
    return {"path": str(path.resolve()), "sha256": sha256_of(path)}


def about_dataset(folder: Path) -> dict[str, Any]:
    """Say what the data are, in the words of the dataset's ``datalist.json``."""
    content = json.loads((folder / "datalist.json").read_text(encoding="utf-8"))
    told = ("name", "description", "demonstration")
    return {"folder": str(folder.resolve())} | {
        name: content[name] for name in told if name in content
    }


def read_measures(
    folder: str | Path,
    columns: Sequence[str],
    text: Collection[str],
    *,
    whole: Collection[str] = (),
    gaps: bool = False,
) -> list[dict[str, Any]]:
    """Read ``metrics.csv`` of an evaluation with its measures as numbers.

    Args:
        folder: Output folder of an evaluation.
        columns: What the table must have.
        text: Those that are no numbers.
        whole: Those that are whole numbers.
        gaps: Empty cells are None; else they are errors.

    Raises:
        InputError: If the table is missing, empty, or not that of an evaluation of this kind.
    """
    path = Path(folder) / "metrics.csv"
    rows = read_table(path, tuple(columns))
    if not rows:
        raise InputError(f"{path} holds no row: evaluate again")

    def convert(name: str, value: str) -> Any:
        if name in text:
            return value
        if gaps and not value:
            return None
        return int(value) if name in whole else float(value)

    try:
        return [{name: convert(name, value) for name, value in row.items()} for row in rows]
    except (TypeError, ValueError) as error:
        raise InputError(f"{path} holds something that is no number: {error}") from error


def spread(values: Iterable[float]) -> dict[str, Any]:
    """Return ``mean``, sample deviation ``std`` and number ``n`` of the finite values.

    ``infinite`` is the number of the others, where there are any.
    """
    given = list(values)
    finite = [value for value in given if math.isfinite(value)]
    result: dict[str, Any] = {
        "mean": statistics.fmean(finite) if finite else None,
        "std": statistics.stdev(finite) if len(finite) > 1 else None,
        "n": len(finite),
    }
    return result | ({"infinite": len(given) - len(finite)} if len(finite) < len(given) else {})


def by_method(
    rows: Sequence[Mapping[str, Any]], methods: Sequence[str], metrics: Sequence[str]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Return method to measure to :func:`spread`; rows in which a measure is None do not count."""
    return {
        method: {
            name: spread(
                row[name] for row in rows if row["method"] == method and row[name] is not None
            )
            for name in metrics
        }
        for method in methods
    }


def text_table(lines: Sequence[Sequence[str]], caption: str) -> str:
    """Return lines of cells as plain text, the first ruled off, the caption below."""
    filled = [[*line, *[""] * (len(lines[0]) - len(line))] for line in lines]
    widths = [max(map(len, column)) for column in zip(*filled, strict=True)]
    text = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in filled
    ]
    return "\n".join([text[0], "-" * len(max(text, key=len)), *text[1:], caption])
