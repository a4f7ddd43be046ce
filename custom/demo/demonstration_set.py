"""Base class of demonstration sets: made once from a seed, never over a user's data."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

from tqdm import tqdm

from custom.data.datasets.datalist import EXCLUSIONS
from custom.data.datasets.dataset_writer import DATALIST, DatasetKind, DatasetWriter
from custom.data.datasets.exclusions import read_exclusions
from custom.errors import InputError
from custom.files.nifti_volume import write_volume
from custom.files.process_lock import process_lock

__all__ = ["DemonstrationSet"]

_LOCK = ".demonstration.lock"


class DemonstrationSet:
    """A synthetic dataset that is made in a folder on first use.

    A set is a subclass with the attributes below, :meth:`_jobs` and :meth:`_scan`; or, if it is not
    written by a :class:`DatasetWriter`, with its ``version`` and :meth:`_write`.

    Args:
        folder: Folder of the set.
        size: ``"full"``, or ``"tiny"`` for tests.
        seed: Seed of the subjects and of the noise; one seed gives the same set bit for bit.

    Raises:
        ValueError: If ``size`` is unknown or ``seed`` is negative.
    """

    sizes: ClassVar[tuple[str, ...]] = ("full", "tiny")
    version: ClassVar[int]  # raised whenever the same seed gives other images
    kind: ClassVar[DatasetKind]
    title: ClassVar[str]
    about: ClassVar[dict[str, str]]  # one line on the set of each size
    subject: ClassVar[str]
    unseen: ClassVar[Any]  # job of the scan of a subject that is in no split
    reference_folder: ClassVar[str] = "reference"  # of that scan's reference

    def __init__(self, folder: str | Path, size: str = "full", seed: int = 0) -> None:
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

        A set of another size, seed or recipe in the folder is replaced, unless the user excluded
        slices of it. ``datalist.json`` is
        written last, so that an interrupted set is made again. Of several processes one makes the
        set, and the others wait for it.

        Raises:
            InputError: If the folder holds a dataset that is no demonstration set, or another one
                of which slices are excluded, or the disk is full.
        """
        if self._made_as() != self.recipe:
            with process_lock(self.folder / _LOCK):
                self._make()
        return self.folder

    def unseen_scan(self, folder: str | Path) -> Path:
        """Write a scan of a subject that is in no split, and its reference.

        Args:
            folder: Where to write ``unseen_<subject>.nii.gz`` and, in ``reference_folder``,
                ``unseen_<subject>_reference.nii.gz``; a series with its gradient table.

        Returns:
            Path of the scan.
        """
        scan = self._scan(self.unseen)
        path = Path(folder) / f"unseen_{self.subject}.nii.gz"
        reference = path.parent / self.reference_folder / f"unseen_{self.subject}_reference.nii.gz"
        for key, file in (("image", path), ("label", reference)):
            write_volume(file, *scan["images"][key])
            if "table" in scan:
                scan["table"].write_beside(file)
        return path

    def _jobs(self) -> Sequence[Any]:
        """Return what :meth:`_scan` is called with for each scan, in the order of the list."""
        raise NotImplementedError

    def _scan(self, job: Any) -> dict[str, Any]:
        """Make one scan and return the arguments of :meth:`DatasetWriter.add`."""
        raise NotImplementedError

    def _scans(self) -> Iterator[dict[str, Any]]:
        """Make the scans on all cores, in order, with a progress bar.

        Threads, not processes: array operations release the interpreter's lock, and a new process
        would first import the main module.
        """
        jobs = self._jobs()
        pool = ThreadPoolExecutor(_cores())
        try:
            scans = pool.map(self._scan, jobs)
            yield from tqdm(scans, total=len(jobs), desc="demonstration scans", unit="scan")
        finally:
            pool.shutdown(cancel_futures=True)

    def _write(self) -> None:
        """Write the set; ``datalist.json`` must hold ``recipe``."""
        name, about = f"{self.title}, demonstration", self.about[self.size]
        with DatasetWriter(self.folder, self.kind, name, about, demonstration=True) as writer:
            writer.head["recipe"] = self.recipe
            for scan in self._scans():
                writer.add(**scan)

    def _make(self) -> None:
        """Make the set, unless another process has done so during the wait for the lock."""
        made_as = self._made_as()
        if made_as == self.recipe:
            return
        if made_as is not None:
            self._check_exclusions(made_as)
            # Only a demonstration set carries a recipe; any other dataset is left alone, and
            # the writer refuses it.
            (self.folder / DATALIST).unlink()
        self._write()

    def _check_exclusions(self, made_as: object) -> None:
        """Refuse to replace a set whose slices the user has excluded: the next has others."""
        file = self.folder / EXCLUSIONS
        if file.is_file() and read_exclusions(file):
            raise InputError(
                f"{file} excludes slices of the demonstration set there, {made_as}, and this run "
                f"wants {self.recipe}: move the file away, or copy the folder elsewhere and give "
                "the copy as dataset"
            )

    def _made_as(self) -> object:
        """Return the recipe of the complete set in the folder, or None."""
        datalist = self.folder / DATALIST
        if not datalist.is_file():
            return None
        try:
            return json.loads(datalist.read_text(encoding="utf-8")).get("recipe")
        except (ValueError, AttributeError):
            return None


def _cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
