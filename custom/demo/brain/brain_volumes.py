"""Demonstration set of ``gan3d_sr_denoise``: synthetic T1-weighted heads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from custom.data.datasets.dataset_kinds import VOLUMES, volume_pair
from custom.demo.brain.brain_anatomy import BrainGrid, make_head
from custom.demo.brain.brain_template import brain_template
from custom.demo.demonstration_set import DemonstrationSet

__all__ = ["BrainVolumesDemo"]

_TILT_DEG = 8.0
_ABOUT = "Synthetic T1-weighted heads made from the ICBM 152 tissue maps"


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

    ``full``: 112 x 132 x 116 voxels of 1.4 mm, nine people; ``tiny``: 36 x 40 x 36 of 4.6 mm, four.
    The unseen scan is of low resolution, its reference of twice that. Arguments as in the base.
    """

    version = 1
    kind = VOLUMES
    title = "brain volumes"
    about: ClassVar = {"full": _ABOUT, "tiny": f"{_ABOUT}, small for tests"}
    subject = "brain"
    unseen = 1001, "unseen"

    def _jobs(self) -> list[tuple[int, str]]:
        """Return number and split of each person."""
        brain_template()  # read once, before several threads ask for it
        splits = _PLANS[self.size].splits
        return list(enumerate(split for split, count in splits.items() for _ in range(count)))

    def _scan(self, job: tuple[int, str]) -> dict[str, Any]:
        """Scan one person; each has its own seed."""
        number, split = job
        plan = _PLANS[self.size]
        pose, person = np.random.SeedSequence((self.seed, number)).spawn(2)
        turn = np.random.default_rng(pose).uniform(-_TILT_DEG, _TILT_DEG, 3)
        x, y, z = turn.tolist() if number % 2 else (0.0, 0.0, 0.0)
        grid = BrainGrid(plan.shape, plan.voxel_mm, (x, y, z))
        subject = f"person{number + 1:02d}"
        return {
            "split": split,
            "scan": f"{subject}_T1w",
            "images": volume_pair(make_head(grid, person), grid.affine),
            "subject": subject,
        }
