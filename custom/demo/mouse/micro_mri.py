"""Demonstration set of ``micro_mri_denoise``: synthetic mice, scanned twice."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from tqdm import tqdm

from custom.data.datasets.dataset_kinds import PAIRED_STACKS
from custom.data.datasets.dataset_writer import DatasetWriter
from custom.demo.demonstration_set import DemonstrationSet
from custom.demo.mouse.mouse_anatomy import Mouse, Plane
from custom.demo.mouse.mouse_scan import (
    PLANES,
    REGIONS,
    SLICE_MM,
    Protocol,
    Region,
    ScanPair,
    scan_pair,
)
from custom.files.nifti_volume import write_volume
from custom.physics.kspace_acquisition import DEFAULT_SCAN, FAST_SCAN, Acquisition

__all__ = ["MicroMriDemo"]

Size = Literal["full", "tiny"]

_UNSEEN_ANIMAL = 1000


@dataclass(frozen=True)
class _Plan:
    """Animals and scans of one size of the set."""

    splits: dict[str, int]
    scans: tuple[tuple[Plane, Region], ...]
    protocol: Protocol


_PLANS: dict[str, _Plan] = {
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


class MicroMriDemo(DemonstrationSet):
    """Synthetic mice, scanned in one and in twelve minutes.

    Args:
        folder: Folder of the set.
        size: ``"full"`` (300 x 300, eight animals) or ``"tiny"`` (64 x 64, four, for tests).
        seed: Seed of the animals and of the noise; one seed gives the same set bit for bit.

    Raises:
        ValueError: If ``size`` is unknown or ``seed`` is negative.
    """

    sizes = tuple(_PLANS)
    version = 2

    def __init__(self, folder: str | Path, size: Size = "full", seed: int = 0) -> None:
        super().__init__(folder, size, seed)

    def _write(self) -> None:
        """Scan and write all animals."""
        writer = DatasetWriter(
            self.folder,
            PAIRED_STACKS,
            "mouse micro-MRI, demonstration",
            "Synthetic mice at 7 T, scanned at 150 x 150 x 1 and 300 x 300 x 5"
            if self.size == "full"
            else "Synthetic mice at 7 T, small for tests",
            demonstration=True,
        )
        writer.head["recipe"] = self.recipe
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
        write_volume(path, pair.image, pair.image_affine)
        reference = path.with_name("unseen_mouse_reference.nii.gz")
        write_volume(reference, pair.label, pair.label_affine)
        return path

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

        Threads, not processes: array operations release the interpreter's lock, and a new process
        would first import the main module.
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


def _add(writer: DatasetWriter, job: _Job, pair: ScanPair) -> None:
    """Write one pair."""
    writer.add(
        job.split,
        job.scan,
        {
            "image": (pair.image, pair.image_affine),
            "label": (pair.label, pair.label_affine),
            "mask": (pair.mask, pair.label_affine),
        },
        animal=_animal_name(job.animal),
        plane=job.plane,
        region=job.region,
        roi=pair.organ,
        background="muscle",
        slice_thickness_mm=SLICE_MM,
    )


def _scan(job: _Job, seed: int, protocol: Protocol) -> ScanPair:
    """Make one pair; each animal and each scan has its own seed."""
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
