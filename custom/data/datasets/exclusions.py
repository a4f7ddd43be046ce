"""The list of bad slices, which the user edits and every reader of a dataset applies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from custom.errors import InputError, did_you_mean
from custom.files.csv_table import read_table, write_table
from custom.files.text_files import read_unique

__all__ = [
    "EXCLUSION_COLUMNS",
    "check_exclusions",
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
    entries: dict[tuple[str, int], bool] = {}
    rows = read_table(file, ("scan", "slice", "exclude"))
    for number, row in enumerate(rows, start=1):
        answer = (row["exclude"] or "").strip().lower()
        index = (row["slice"] or "").strip()
        if answer not in _YES | _NO or not index.isdecimal():
            raise InputError(
                f"exclusion list {file}, row {number}: slice must be a whole number and exclude "
                f"yes or no, got {index!r} and {answer!r}"
            )
        entry = (row["scan"] or "").strip(), int(index)
        if entry in entries:
            raise InputError(
                f"exclusion list {file}, row {number}: {entry[0]} slice {index} is there twice: "
                "keep one line"
            )
        entries[entry] = answer in _YES
    excluded: dict[str, set[int]] = {}
    for (scan, slice_index), bad in entries.items():
        if bad:
            excluded.setdefault(scan, set()).add(slice_index)
    return excluded


def _from_json(file: Path) -> dict[str, set[int]]:
    """Read the JSON form."""
    form = f'exclusion list {file} is not of the form {{"scan": [slice, ...]}}'
    try:
        content = read_unique(file)
    except ValueError as error:
        raise InputError(f"{form}: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{form}: it holds no scans by name")
    for scan, slices in content.items():
        if not isinstance(slices, list) or not all(map(_is_index, slices)):
            raise InputError(f"{form}: {scan!r} needs a list of whole numbers from 0 on")
        if len(set(slices)) < len(slices):
            raise InputError(f"{form}: {scan!r} has a slice twice")
    return {scan: set(slices) for scan, slices in content.items() if slices}


def check_exclusions(
    excluded: Mapping[str, set[int]], slices: Mapping[str, int], source: object
) -> None:
    """Refuse a list that excludes what is not there.

    Args:
        excluded: The excluded slices by scan.
        slices: Number of slices of each scan of the dataset.
        source: Name of the list in messages.

    Raises:
        InputError: With the scan, or the slice, that the dataset does not have.
    """
    for scan, indices in excluded.items():
        if scan not in slices:
            raise InputError(
                f"exclusion list {source}: there is no scan {scan!r} in the dataset"
                f"{did_you_mean(scan, slices)}"
            )
        if max(indices) >= slices[scan]:
            raise InputError(
                f"exclusion list {source}: {scan} has {slices[scan]} slices, counted from 0: there "
                f"is no slice {max(indices)}"
            )


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
