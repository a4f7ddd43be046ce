"""Small tables as CSV, written whole or not at all."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from custom.errors import InputError, did_you_mean
from custom.files.atomic import atomic_path
from custom.files.text_files import read_text

__all__ = ["read_table", "write_table"]

_MOST_ROWS = 1_000_000  # 0.3 GB of memory; the tables of an evaluation have some thousand


def write_table(
    path: str | Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]
) -> Path:
    """Write rows as CSV, atomically; floats with seven significant digits.

    Args:
        path: The file.
        columns: Names and order of the columns.
        rows: Mappings with exactly these keys.

    Returns:
        The path.

    Raises:
        ValueError: If a row has a key that is no column.
    """
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as text:
        writer = csv.DictWriter(text, columns)
        writer.writeheader()
        for row in rows:
            writer.writerow(
                {
                    # Seven digits are what a float32 holds.
                    name: f"{value:.7g}" if isinstance(value, float) else value
                    for name, value in row.items()
                }
            )
    return Path(path)


def read_table(path: str | Path, columns: Iterable[str] = ()) -> list[dict[str, str]]:
    """Read a CSV file with a header line.

    Args:
        path: The file.
        columns: Names that the header must have.

    Raises:
        InputError: If the file cannot be read or lacks a column.
    """
    try:
        reader = csv.DictReader(io.StringIO(read_text(path), newline=""))
        header = reader.fieldnames or ()
        missing = [name for name in columns if name not in header]
        rows = list(islice(reader, _MOST_ROWS + 1))
    except InputError:
        raise
    except (OSError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as a CSV table: {error}") from error
    if len(rows) > _MOST_ROWS:
        raise InputError(f"{path} has over {_MOST_ROWS} rows: is it the right file?")
    if missing:
        hint = did_you_mean(missing[0], header)
        raise InputError(
            f"{path} lacks the columns {missing}{hint}: it is not the table looked for"
        )
    if len(set(header)) < len(header):
        raise InputError(f"{path} has a column twice: {', '.join(header)}")
    return rows
