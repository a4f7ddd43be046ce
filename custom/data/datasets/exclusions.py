"""The list of bad slices, which the user edits and every reader of a dataset applies."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path

from custom.errors import InputError
from custom.files.csv_table import read_table, write_table

__all__ = [
    "EXCLUSION_COLUMNS",
    "merge_suggestions",
    "read_exclusions",
]

EXCLUSION_COLUMNS = ("scan", "slice", "exclude", "reason")
_YES = {"yes", "y", "true", "1"}
_NO = {"no", "n", "false", "0", ""}
_SUGGESTED = "suggested: "


def read_exclusions(path: str | Path | None) -> dict[str, set[int]]:
    """Read the excluded slices of each scan.

    Args:
        path: A CSV file with the columns ``scan, slice, exclude, reason`` (``exclude`` is yes or
            no), or a JSON file ``{"<scan>": [slice, ...]}``. Slices count from 0. ``None`` means
            that nothing is excluded.

    Returns:
        The excluded slices by scan.

    Raises:
        InputError: If the file is missing, not readable, or holds an invalid line.
    """
    if path is None:
        return {}
    file = Path(path)
    if not file.is_file():
        raise InputError(f"exclusion list {file} does not exist: give an existing .csv or .json")
    if file.suffix.lower() == ".json":
        return _from_json(file)
    excluded: dict[str, set[int]] = {}
    # Spreadsheet programs put a byte order mark before the first column's name.
    with file.open(newline="", encoding="utf-8-sig") as text:
        rows = csv.DictReader(text)
        missing = {"scan", "slice", "exclude"} - set(rows.fieldnames or ())
        if missing:
            raise InputError(f"exclusion list {file} lacks the columns {sorted(missing)}")
        for row in rows:
            answer = (row["exclude"] or "").strip().lower()
            index = (row["slice"] or "").strip()
            if answer not in _YES | _NO or not index.isdecimal():
                raise InputError(
                    f"exclusion list {file}, line {rows.line_num}: slice must be a whole number "
                    f"and exclude yes or no, got {index!r} and {answer!r}"
                )
            if answer in _YES:
                excluded.setdefault(str(row["scan"]).strip(), set()).add(int(index))
    return excluded


def _from_json(file: Path) -> dict[str, set[int]]:
    """Read the JSON form."""
    form = f'exclusion list {file} is not of the form {{"scan": [slice, ...]}}'
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise InputError(f"{form}: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{form}: it holds no scans by name")
    for scan, slices in content.items():
        if not isinstance(slices, list) or not all(map(_is_index, slices)):
            raise InputError(f"{form}: {scan!r} needs a list of whole numbers from 0 on")
    return {scan: set(slices) for scan, slices in content.items() if slices}


def _is_index(value: object) -> bool:
    """Return True if a value of a JSON file can be the number of a slice."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


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
    texts = {key: f"{_SUGGESTED}{reason}" if reason else "" for key, reason in suggestions.items()}
    for row in rows:
        suggestion = texts.pop((row["scan"].strip(), int(row["slice"])), None)
        written = row.get("reason") or ""
        if suggestion is not None and (not written or written.startswith(_SUGGESTED)):
            row["reason"] = suggestion
    rows += [
        {"scan": scan, "slice": str(index), "exclude": "no", "reason": reason}
        for (scan, index), reason in texts.items()
    ]
    write_table(path, columns, rows)
    return sum(map(len, read_exclusions(path).values()))
