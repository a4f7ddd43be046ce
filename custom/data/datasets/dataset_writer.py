"""What the folder of every dataset has in common, and how its list of scans is written."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from custom.errors import InputError
from custom.files.atomic import write_json

__all__ = ["DATALIST", "SPLITS", "DatasetWriter"]

DATALIST = "datalist.json"
SPLITS = ("training", "validation", "test")


class DatasetWriter:
    """Write the list of a dataset's scans when all of them are there.

    ``datalist.json`` has the Decathlon form and appears only in :meth:`close`: where it is, the
    dataset is complete. What an interrupted writer left is cleared by the next one. A kind of
    dataset is a subclass, whose ``add`` writes the files of one scan and appends its item.

    Args:
        folder: The dataset's folder. Other files in it, such as ``exclusions.csv``, stay.
        name: Name of the dataset.
        description: One line on what it is and where it comes from.
        demonstration: Whether it is synthetic demonstration data.

    Raises:
        InputError: If ``folder`` already holds a complete dataset.
    """

    folders: ClassVar[tuple[str, ...]] = ()  # of the scans' files; cleared at the start

    def __init__(
        self, folder: str | Path, name: str, description: str, demonstration: bool = False
    ) -> None:
        self.folder = Path(folder)
        if (self.folder / DATALIST).exists():
            raise InputError(f"{self.folder} already holds a dataset: choose an empty folder")
        for part in self.folders:
            shutil.rmtree(self.folder / part, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.head: dict[str, Any] = {
            "name": name,
            "description": description,
            "modality": {"0": "MR"},
            "demonstration": demonstration,
        }
        self.items: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()

    def close(self) -> Path:
        """Write ``datalist.json`` and return its path.

        Raises:
            InputError: If no scan was added.
        """
        if not any(self.items.values()):
            raise InputError(f"no scan to write to {self.folder}")
        return write_json(self.folder / DATALIST, {**self.head, **self.items})

    def _check_name(self, split: str, scan: str) -> None:
        """Refuse an unknown split, and a name that is taken or is none of a file."""
        if split not in SPLITS:
            raise ValueError(f"split must be one of {SPLITS}, got {split!r}")
        known = {item["scan"] for items in self.items.values() for item in items}
        if scan in known or not scan or "/" in scan or "#" in scan:
            raise ValueError(f"scan must be a new name without '/' or '#', got {scan!r}")
