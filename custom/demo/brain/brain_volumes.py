"""Demonstration set of ``gan3d_sr_denoise``: synthetic T1-weighted heads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from custom.data.datasets.dataset_kinds import VOLUMES, volume_pair
from custom.data.datasets.dataset_writer import DatasetWriter
from custom.demo.brain.brain_anatomy import BrainGrid, make_head
from custom.demo.demonstration_set import DemonstrationSet
from custom.files.nifti_volume import write_volume

__all__ = ["BrainVolumesDemo"]

Size = Literal["full", "tiny"]

_UNSEEN_PERSON = 1001
_TILT_DEG = 8.0


@dataclass(frozen=True)
class _Plan:
    """Grid and number of people of one size of the set."""

    shape: tuple[int, int, int]
    voxel_mm: float
    splits: dict[str, int]


_PLANS: dict[str, _Plan] = {
    "full": _Plan((112, 132, 116), 1.4, {"training": 6, "validation": 1, "test": 2}),
    "tiny": _Plan((36, 40, 36), 4.6, {"training": 2, "validation": 1, "test": 1}),
}


class BrainVolumesDemo(DemonstrationSet):
    """Synthetic T1-weighted heads, made from the tissue maps of an average brain.

    The people differ in the size, shape and folds of their brains, in contrast, vessels, fine
    texture, coil and noise. Each ``label`` is one head, each ``image`` the same at half the
    resolution (antialiased linear). Every other head lies tilted in the scanner, so that its
    affine is oblique.

    Args:
        folder: Folder of the set.
        size: ``"full"`` (112 x 132 x 116 voxels of 1.4 mm, nine people) or ``"tiny"``
            (36 x 40 x 36 of 4.6 mm, four, for tests).
        seed: Seed of the people and of the noise; one seed gives the same set bit for bit.

    Raises:
        ValueError: If ``size`` is unknown or ``seed`` is negative.
    """

    sizes = tuple(_PLANS)
    version = 1

    def __init__(self, folder: str | Path, size: Size = "full", seed: int = 0) -> None:
        super().__init__(folder, size, seed)

    def unseen_scan(self, folder: str | Path) -> Path:
        """Write a low-resolution scan of a person who is in no split, and its reference.

        Args:
            folder: Where to write ``unseen_brain.nii.gz`` and, in ``reference``,
                ``unseen_brain_reference.nii.gz`` of twice the resolution.

        Returns:
            Path of the low-resolution scan.
        """
        grid, head = self._person(_UNSEEN_PERSON)
        pair = volume_pair(head, grid.affine)
        path = Path(folder) / "unseen_brain.nii.gz"
        write_volume(path, *pair["image"])
        reference = path.parent / "reference" / "unseen_brain_reference.nii.gz"
        write_volume(reference, *pair["label"])
        return path

    def _write(self) -> None:
        """Scan and write all people."""
        writer = DatasetWriter(
            self.folder,
            VOLUMES,
            "brain volumes, demonstration",
            "Synthetic T1-weighted heads made from the ICBM 152 tissue maps"
            + (", small for tests" if self.size == "tiny" else ""),
            demonstration=True,
        )
        writer.head["recipe"] = self.recipe
        splits = _PLANS[self.size].splits
        jobs = [split for split, count in splits.items() for _ in range(count)]
        for number, split in enumerate(tqdm(jobs, desc="demonstration scans", unit="scan")):
            grid, head = self._person(number)
            subject = f"person{number + 1:02d}"
            writer.add(split, f"{subject}_T1w", volume_pair(head, grid.affine), subject=subject)
        writer.close()

    def _person(self, number: int) -> tuple[BrainGrid, NDArray[np.float32]]:
        """Scan one person; each has its own seed."""
        plan = _PLANS[self.size]
        pose, person = np.random.SeedSequence((self.seed, number)).spawn(2)
        turn = np.random.default_rng(pose).uniform(-_TILT_DEG, _TILT_DEG, 3)
        x, y, z = turn.tolist() if number % 2 else (0.0, 0.0, 0.0)
        grid = BrainGrid(plan.shape, plan.voxel_mm, (x, y, z))
        return grid, make_head(grid, person)
