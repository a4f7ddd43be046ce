"""Build a dataset in a temporary folder, and move it to its place when it is complete."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from custom.data.datasets.dataset_writer import DATALIST, DatasetKind, DatasetWriter
from custom.errors import InputError
from custom.files.atomic import check_writable, errors_of_writing
from custom.files.temporary import sweep, temporary_path

__all__ = ["PREPARATION", "check_output_dir", "published_dataset"]

PREPARATION = "preparation.json"


def check_output_dir(folder: Path, overwrite: bool, may_hold: frozenset[str]) -> None:
    """Refuse a folder that cannot hold a new dataset.

    Args:
        folder: The dataset's folder, or where it will be.
        overwrite: Whether a dataset in it may be replaced.
        may_hold: Names of files that may be there before.

    Raises:
        InputError: If it is a file, cannot be written, holds a dataset, or holds something else.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"output_dir {folder} is a file: give a folder")
    check_writable(folder)
    if not folder.is_dir():
        return
    sweep(folder)
    if (folder / DATALIST).exists():
        if not overwrite:
            raise InputError(
                f"{folder} already holds a dataset: choose another or give --overwrite True"
            )
    elif other := {path.name for path in folder.iterdir()} - may_hold:
        raise InputError(
            f"output_dir {folder} holds other files, {min(other)}: choose an empty folder"
        )


@contextmanager
def published_dataset(
    target: Path, kind: DatasetKind, name: str, description: str
) -> Iterator[DatasetWriter]:
    """Yield the writer of a hidden folder in ``target``, whose content then replaces the target's.

    The list of scans is removed first and moved last, so that an interruption leaves no partial
    dataset that looks complete. Other files in ``target`` stay. On any exception nothing is moved.

    Args:
        target: The dataset's folder.
        kind: See :class:`~custom.data.datasets.dataset_writer.DatasetWriter`.
        name: See there.
        description: See there.

    Raises:
        InputError: If the disk is full, or ``target`` cannot be written.
    """
    is_new = not target.is_dir()
    # Inside: beside a mount point is another file system, and may be nothing that can be written.
    temporary = temporary_path(target / target.name)
    try:
        with errors_of_writing(target):
            with DatasetWriter(temporary, kind, name, description) as writer:
                yield writer
            _replace(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if is_new and target.is_dir() and not any(target.iterdir()):
            target.rmdir()


def _replace(temporary: Path, target: Path) -> None:
    """Move a complete dataset to its place."""
    (target / DATALIST).unlink(missing_ok=True)
    for part in sorted(temporary.iterdir(), key=lambda path: path.name == DATALIST):
        old = target / part.name
        if old.is_dir():
            shutil.rmtree(old)
        part.replace(old)
