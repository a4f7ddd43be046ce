"""Merge suggestions into a list of bad slices without changing the user's entries."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from custom.data.datasets.exclusions import EXCLUSION_COLUMNS, read_exclusions
from custom.files.csv_table import read_table, write_table

__all__ = ["SUGGESTED", "merge_suggestions"]

SUGGESTED = "suggested: "


def merge_suggestions(path: str | Path, suggestions: Mapping[tuple[str, int], str]) -> int:
    """Write a list with a row for each slice, or update the suggestions in an existing one.

    A new row has ``exclude`` no. In an old row ``exclude`` stays, and so does ``reason`` unless it
    is an earlier suggestion; other rows, columns and the order stay too.

    Args:
        path: The CSV file, which need not be there.
        suggestions: Scan and slice to its faults, empty for none.

    Returns:
        Number of slices that the list excludes.

    Raises:
        InputError: If the file exists and is invalid; it is not changed then.
    """
    path = Path(path)
    rows: list[dict[str, str]] = []
    if path.is_file():
        read_exclusions(path)  # raises for invalid entries
        rows = read_table(path, ("scan", "slice", "exclude"))
    columns = list(dict.fromkeys([*EXCLUSION_COLUMNS, *(key for row in rows for key in row)]))
    texts = {key: f"{SUGGESTED}{reason}" if reason else "" for key, reason in suggestions.items()}
    for row in rows:
        suggestion = texts.pop((row["scan"].strip(), int(row["slice"])), None)
        written = row.get("reason") or ""
        if suggestion is not None and (not written or written.startswith(SUGGESTED)):
            row["reason"] = suggestion
    rows += [
        {"scan": scan, "slice": str(index), "exclude": "no", "reason": reason}
        for (scan, index), reason in texts.items()
    ]
    write_table(path, columns, rows)
    return sum(map(len, read_exclusions(path).values()))
