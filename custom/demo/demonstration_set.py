"""Base class of demonstration sets: made once from a seed, never over a user's data."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from custom.data.datasets.dataset_writer import DATALIST
from custom.files.process_lock import process_lock

__all__ = ["DemonstrationSet"]

_LOCK = ".demonstration.lock"


class DemonstrationSet(ABC):
    """A synthetic dataset that is made in a folder on first use.

    A set is a subclass with its ``sizes``, its ``version`` and :meth:`_write`; for the command
    ``mri-bundles demo`` also ``unseen_scan(folder)``, which writes a scan that is in no split.

    Args:
        folder: Folder of the set.
        size: One of ``sizes``.
        seed: Random seed; one seed gives the same set bit for bit.

    Raises:
        ValueError: If ``size`` is unknown or ``seed`` is negative.
    """

    sizes: ClassVar[tuple[str, ...]]
    version: ClassVar[int]  # raised whenever the same seed gives other images

    def __init__(self, folder: str | Path, size: str, seed: int) -> None:
        if size not in self.sizes:
            raise ValueError(f"size must be one of {self.sizes}, got {size!r}")
        if seed < 0:
            raise ValueError(f"seed must not be negative, got {seed}")
        self.folder = Path(folder)
        self.size = size
        self.seed = seed

    @property
    def recipe(self) -> dict[str, str | int]:
        """Size, seed and version, which determine the set's values."""
        return {"size": self.size, "seed": self.seed, "version": self.version}

    def ensure(self) -> Path:
        """Make the set unless it exists with this size and seed, and return its folder.

        A set of another size, seed or recipe in the folder is replaced. ``datalist.json`` is
        written last, so that an interrupted set is made again. Of several processes one makes the
        set, and the others wait for it.

        Raises:
            InputError: If the folder holds a dataset that is no demonstration set, or the disk
                is full.
        """
        if self._made_as() != self.recipe:
            with process_lock(self.folder / _LOCK):
                self._make()
        return self.folder

    @abstractmethod
    def _write(self) -> None:
        """Write the set by a dataset's writer, whose ``head["recipe"]`` must be ``recipe``."""

    def _make(self) -> None:
        """Make the set, unless another process has done so during the wait for the lock."""
        made_as = self._made_as()
        if made_as == self.recipe:
            return
        if made_as is not None:
            # Only a demonstration set carries a recipe; any other dataset is left alone, and
            # the writer refuses it.
            (self.folder / DATALIST).unlink()
        self._write()

    def _made_as(self) -> object:
        """Return the recipe of the complete set in the folder, or None."""
        datalist = self.folder / DATALIST
        if not datalist.is_file():
            return None
        try:
            return json.loads(datalist.read_text(encoding="utf-8")).get("recipe")
        except (ValueError, AttributeError):
            return None
