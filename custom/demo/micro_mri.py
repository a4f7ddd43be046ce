"""The demonstration set of the mouse micro-MRI study."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from custom.data.atomic import atomic_path
from custom.data.kspace_acquisition import DEFAULT_SCAN, FAST_SCAN, Acquisition
from custom.data.paired_dataset import DATALIST, PairedDatasetWriter
from custom.data.process_lock import process_lock
from custom.demo.mouse_anatomy import Mouse, Plane
from custom.demo.mouse_scan import PLANES, REGIONS, SLICE_MM, Protocol, Region, ScanPair, scan_pair

__all__ = ["MicroMriDemo"]

Size = Literal["full", "tiny"]

# Raised whenever the same seed gives other images.
_RECIPE = 2
_UNSEEN_ANIMAL = 1000
_LOCK = ".demonstration.lock"


@dataclass(frozen=True)
class _Plan:
    """Animals and scans of one size of the set."""

    splits: dict[str, int]
    scans: tuple[tuple[Plane, Region], ...]
    protocol: Protocol


_PLANS: dict[Size, _Plan] = {
    "full": _Plan(
        {"training": 5, "validation": 1, "test": 2},
        tuple((plane, region) for region in REGIONS for plane in PLANES),
        Protocol(FAST_SCAN, DEFAULT_SCAN, num_slices=5),
    ),
    "tiny": _Plan(
        {"training": 2, "validation": 1, "test": 1},
        (("axial", "head-thorax"), ("coronal", "thorax-abdomen")),
        Protocol(Acquisition((32, 32), 1), Acquisition((64, 64), 5), num_slices=2),
    ),
}


@dataclass(frozen=True)
class _Job:
    """One pair of scans to make."""

    split: str
    animal: int
    plane: Plane
    region: Region

    @property
    def scan(self) -> str:
        """Name of the pair."""
        return f"{_animal_name(self.animal)}_{self.plane}_{self.region}"


class MicroMriDemo:
    """Synthetic mice, scanned in one and in twelve minutes.

    Args:
        folder: Where the set lies or is to lie.
        size: ``"full"`` (300 x 300, eight animals) or ``"tiny"`` (64 x 64, four, for tests).
        seed: Seed of the animals and of the noise; one seed gives the same set bit for bit.

    Raises:
        ValueError: If ``size`` is unknown or ``seed`` is negative.
    """

    def __init__(self, folder: str | Path, size: Size = "full", seed: int = 0) -> None:
        if size not in _PLANS:
            raise ValueError(f"size must be one of {tuple(_PLANS)}, got {size!r}")
        if seed < 0:
            raise ValueError(f"seed must not be negative, got {seed}")
        self.folder = Path(folder)
        self.size: Size = size
        self.seed = seed

    def ensure(self) -> Path:
        """Make the set unless it is there with this size and seed, and return its folder.

        A set of another size, seed or recipe in the folder is replaced. ``datalist.json`` is
        written last, so that an interrupted set is made again. Of several processes one makes the
        set, and the others wait for it.

        Raises:
            InputError: If the folder holds a dataset that is no demonstration set, or the disk
                is full.
        """
        if self._made_as() == self._recipe():
            return self.folder
        with process_lock(self.folder / _LOCK):
            self._make()
        return self.folder

    def _make(self) -> None:
        """Make the set, unless another process did while this one waited for the lock."""
        made_as = self._made_as()
        if made_as == self._recipe():
            return
        if made_as is not None:
            # Only a demonstration set carries a recipe; any other dataset is left alone, and
            # the writer refuses it.
            (self.folder / DATALIST).unlink()
        writer = PairedDatasetWriter(
            self.folder,
            "mouse micro-MRI, demonstration",
            "Synthetic mice at 7 T, scanned at 150 x 150 x 1 and 300 x 300 x 5"
            if self.size == "full"
            else "Synthetic mice at 7 T, small for tests",
            demonstration=True,
        )
        writer.head["recipe"] = self._recipe()
        for job, pair in self._pairs():
            _add(writer, job, pair)
        writer.close()

    def unseen_scan(self, folder: str | Path, plane: Plane = "coronal") -> Path:
        """Write a fast scan of an animal that is in no split, and its reference.

        Args:
            folder: Where to write ``unseen_mouse.nii.gz`` and, from the default scan of the same
                slices, ``unseen_mouse_reference.nii.gz``.
            plane: Orientation.

        Returns:
            Path of the fast scan.
        """
        job = _Job("unseen", _UNSEEN_ANIMAL, plane, "thorax-abdomen")
        pair = _scan(job, self.seed, _PLANS[self.size].protocol)
        path = Path(folder) / "unseen_mouse.nii.gz"
        _write_stack(path, pair.image, pair.image_affine)
        _write_stack(path.with_name("unseen_mouse_reference.nii.gz"), pair.label, pair.label_affine)
        return path

    def _recipe(self) -> dict[str, str | int]:
        """Return what decides on the set's values."""
        return {"size": self.size, "seed": self.seed, "version": _RECIPE}

    def _made_as(self) -> object:
        """Return the recipe of the complete set in the folder, or None."""
        datalist = self.folder / DATALIST
        if not datalist.is_file():
            return None
        try:
            return json.loads(datalist.read_text(encoding="utf-8")).get("recipe")
        except (ValueError, AttributeError):
            return None

    def _jobs(self) -> list[_Job]:
        """Return the pairs to make, in the order of the list."""
        plan = _PLANS[self.size]
        splits = [split for split, count in plan.splits.items() for _ in range(count)]
        return [
            _Job(split, animal, plane, region)
            for animal, split in enumerate(splits)
            for plane, region in plan.scans
        ]

    def _pairs(self) -> Iterator[tuple[_Job, ScanPair]]:
        """Scan the animals on all cores, in order, with a progress bar.

        Threads, not processes: the work is array operations, which leave the interpreter's lock,
        and a new process would first import whatever started this one.
        """
        jobs = self._jobs()
        protocol = _PLANS[self.size].protocol
        pool = ThreadPoolExecutor(_cores())
        try:
            pairs = pool.map(lambda job: _scan(job, self.seed, protocol), jobs)
            bar = tqdm(pairs, total=len(jobs), desc="demonstration scans", unit="scan")
            yield from zip(jobs, bar, strict=True)
        finally:
            pool.shutdown(cancel_futures=True)


def _add(writer: PairedDatasetWriter, job: _Job, pair: ScanPair) -> None:
    """Write one pair."""
    writer.add(
        job.split,
        job.scan,
        pair.image,
        pair.image_affine,
        pair.label,
        pair.label_affine,
        pair.mask,
        animal=_animal_name(job.animal),
        plane=job.plane,
        region=job.region,
        roi=pair.organ,
        background="muscle",
        slice_thickness_mm=SLICE_MM,
    )


def _write_stack(path: Path, stack: NDArray[np.float32], affine: NDArray[np.float64]) -> None:
    """Write a NIfTI file in millimetres, whole or not at all."""
    image = nib.Nifti1Image(stack, affine)
    image.header.set_xyzt_units("mm")
    with atomic_path(path) as temporary:
        nib.save(image, temporary)


def _scan(job: _Job, seed: int, protocol: Protocol) -> ScanPair:
    """Make one pair; each animal and each scan has a seed of its own."""
    animal = Mouse(np.random.SeedSequence((seed, job.animal)))
    number = 1 + 2 * PLANES.index(job.plane) + list(REGIONS).index(job.region)
    noise = np.random.SeedSequence((seed, job.animal, number))
    return scan_pair(animal, job.plane, job.region, protocol, noise)


def _cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _animal_name(number: int) -> str:
    """Return the name of an animal, counted from 1."""
    return f"mouse{number + 1:02d}"
