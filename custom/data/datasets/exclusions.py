"""The list of bad slices, which the user edits and every reader of a dataset applies."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from custom.errors import InputError
from custom.files.atomic import atomic_path

__all__ = ["EXCLUSION_COLUMNS", "read_exclusions", "write_exclusions"]

EXCLUSION_COLUMNS = ("scan", "slice", "exclude", "reason")
_YES = {"yes", "y", "true", "1"}
_NO = {"no", "n", "false", "0", ""}


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
        content = json.loads(file.read_text(encoding="utf-8"))
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


def write_exclusions(path: str | Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write an exclusion list as CSV, atomically.

    Args:
        path: The CSV file.
        rows: Mappings with the keys of ``EXCLUSION_COLUMNS``; other keys are ignored.

    Returns:
        The path.
    """
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as text:
        writer = csv.DictWriter(text, EXCLUSION_COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(dict(row) for row in rows)
    return Path(path)
