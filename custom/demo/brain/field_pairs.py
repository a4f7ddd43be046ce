"""Demonstration set of ``brain_3t7t_sr``: synthetic brains at 3 T and at 7 T."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from custom.data.datasets.dataset_kinds import FIELD_PAIRS
from custom.demo.brain.brain_anatomy import BrainGrid
from custom.demo.brain.brain_template import brain_template
from custom.demo.brain.two_fields import TwoFields, scan_at_two_fields
from custom.demo.demonstration_set import DemonstrationSet
from custom.files.nifti_volume import write_volume

__all__ = ["DISPLACED_MM", "FieldPairsDemo"]

_ABOUT = "Simulated pairs of 3 T and 7 T slabs made from the ICBM 152 tissue maps"
DISPLACED_MM = 0.25  # deviation of each component of what registration leaves


@dataclass(frozen=True)
class _Plan:
    """Grid, number of people, and misregistration of one size of the set."""

    shape: tuple[int, int, int]
    voxel_mm: float
    splits: dict[str, int]
    displaced_mm: float


_MANY = {"training": 8, "validation": 2, "test": 4}
_PLANS: dict[str, _Plan] = {
    "full": _Plan((208, 248, 24), 0.65, _MANY, DISPLACED_MM),
    "aligned": _Plan((208, 248, 24), 0.65, _MANY, 0.0),
    "tiny": _Plan((44, 52, 8), 3.0, {"training": 2, "validation": 1, "test": 1}, 1.0),
}


class FieldPairsDemo(DemonstrationSet):
    """Slabs of synthetic brains at both fields, on the grid of the 7 T scan.

    ``image`` is the 3 T scan of 1 mm, ``label`` the 7 T scan of 0.65 mm, both without skull and by
    the range of the brain; ``mask`` the brain and ``segmentation`` its tissues. People differ in
    folds, age and contrast. Nothing is from a scanner: see :func:`scan_at_two_fields`.

    ``full``: pairs that lie off by about half a millimetre, as registration leaves them;
    ``aligned``: the same people without that; ``tiny``: a few small volumes of 3 mm. The unseen
    scan is a 3 T slab of 1 mm in scanner units. Arguments as in the base.
    """

    sizes: ClassVar = ("full", "aligned", "tiny")
    version = 1
    kind = FIELD_PAIRS
    title = "field pairs"
    about: ClassVar = {
        "full": _ABOUT,
        "aligned": f"{_ABOUT}, perfectly aligned",
        "tiny": f"{_ABOUT}, small for tests",
    }
    subject = "brain"
    unseen = 1001, "unseen"

    def unseen_scan(self, folder: str | Path) -> Path:
        """Write the 3 T scan of a person in no split, without skull, and the 7 T scan."""
        grid, scan, _ = self._person(1001)
        path = Path(folder) / f"unseen_{self.subject}.nii.gz"
        reference = path.parent / self.reference_folder / f"unseen_{self.subject}_reference.nii.gz"
        write_volume(path, scan.low, scan.low_affine)
        write_volume(reference, scan.label, grid.affine)
        return path

    def _jobs(self) -> list[tuple[int, str]]:
        """Return number and split of each person."""
        brain_template()  # read once, before several threads ask for it
        splits = _PLANS[self.size].splits
        return list(enumerate(split for split, count in splits.items() for _ in range(count)))

    def _scan(self, job: tuple[int, str]) -> dict[str, Any]:
        """Scan one person at both fields."""
        number, split = job
        grid, scan, person = self._person(number)
        keys = ("image", "label", "mask", "segmentation")
        subject = f"person{number + 1:02d}"
        return {
            "split": split,
            "scan": f"{subject}_T1w",
            "images": {key: (getattr(scan, key), grid.affine) for key in keys},
            "subject": subject,
            **person,
        }

    def _person(self, number: int) -> tuple[BrainGrid, TwoFields, dict[str, int]]:
        """Return a person's grid and scans, age and sex; each has its own seed."""
        plan = _PLANS[self.size]
        about, anatomy = np.random.SeedSequence((self.seed, number)).spawn(2)
        rng = np.random.default_rng(about)
        age, sex = int(rng.integers(25, 81)), int(rng.integers(2))
        # Through the basal ganglia, or below through the hippocampus.
        grid = BrainGrid(
            plan.shape, plan.voxel_mm, height_mm=(2.0, -16.0)[number % 2] + rng.uniform(-3, 3)
        )
        scan = scan_at_two_fields(grid, anatomy, age, plan.displaced_mm)
        return grid, scan, {"age": age, "sex": sex}
