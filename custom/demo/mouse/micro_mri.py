"""Demonstration set of ``micro_mri_denoise``: synthetic mice, scanned twice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from custom.data.datasets.dataset_kinds import PAIRED_STACKS
from custom.demo.demonstration_set import DemonstrationSet
from custom.demo.mouse.mouse_anatomy import Mouse, Plane
from custom.demo.mouse.mouse_scan import (
    PLANES,
    REGIONS,
    SLICE_MM,
    Protocol,
    Region,
    scan_pair,
)
from custom.demo.mouse.varied_scan import varied_scan
from custom.physics.kspace_acquisition import DEFAULT_SCAN, FAST_SCAN, Acquisition

__all__ = ["MicroMriDemo"]

_Job = tuple[int, str, Plane, Region]  # number of the animal, split, plane and region
_VARIED = 100  # number of the first of the animals whose scans vary


@dataclass(frozen=True)
class _Plan:
    """Animals and scans of one size of the set."""

    splits: dict[str, int]
    scans: tuple[tuple[Plane, Region], ...]
    protocol: Protocol
    varied: dict[str, int]  # scans of other contrasts and voxels
    varied_matrix: int  # of their fast scans


_PLANS: dict[str, _Plan] = {
    "full": _Plan(
        {"training": 5, "validation": 1, "test": 2},
        tuple((plane, region) for region in REGIONS for plane in PLANES),
        Protocol(FAST_SCAN, DEFAULT_SCAN, num_slices=5),
        {"training": 48, "validation": 6},
        60,
    ),
    "tiny": _Plan(
        {"training": 2, "validation": 1, "test": 1},
        (("axial", "head-thorax"), ("coronal", "thorax-abdomen")),
        Protocol(Acquisition((32, 32), 1), Acquisition((64, 64), 5), num_slices=2),
        {"training": 2, "validation": 1},
        32,
    ),
}


class MicroMriDemo(DemonstrationSet):
    """Synthetic mice, scanned in one and in twelve minutes.

    ``full``: 300 x 300, eight animals; ``tiny``: 64 x 64, four. Slices are spread over the region,
    with gaps, but those of the unseen fast scan; its reference is the default scan of the same
    slices. For training and its validation there are scans of further animals with other contrasts,
    voxels and noise, see :mod:`custom.demo.mouse.varied_scan`. Items carry the noise of their fast
    scan, ``noise_std``, and that of a usual fast scan, ``nominal_noise_std``. Arguments as in the
    base.
    """

    version = 3
    kind = PAIRED_STACKS
    title = "mouse micro-MRI"
    about: ClassVar = {
        "full": "Synthetic mice at 7 T, scanned at 150 x 150 x 1 and 300 x 300 x 5",
        "tiny": "Synthetic mice at 7 T, small for tests",
    }
    subject = "mouse"
    unseen = 1000, "unseen", "coronal", "thorax-abdomen"
    reference_folder = ""

    def _jobs(self) -> list[_Job]:
        """Return the pairs of scans of every animal."""
        plan = _PLANS[self.size]
        splits = [split for split, count in plan.splits.items() for _ in range(count)]
        varied = [split for split, count in plan.varied.items() for _ in range(count)]
        return [
            *((number, split, *scan) for number, split in enumerate(splits) for scan in plan.scans),
            *((_VARIED + number, split, *plan.scans[0]) for number, split in enumerate(varied)),
        ]

    def _scan(self, job: _Job) -> dict[str, Any]:
        """Make one pair; each animal and each scan has its own seed."""
        number, split, plane, region = job
        if number >= _VARIED and split != self.unseen[1]:
            return self._varied(number, split)
        mouse = Mouse(np.random.SeedSequence((self.seed, number)))
        scan = 1 + 2 * PLANES.index(plane) + list(REGIONS).index(region)
        noise = np.random.SeedSequence((self.seed, number, scan))
        protocol = _PLANS[self.size].protocol
        if split == self.unseen[1]:  # as users' scans, and those of the paper, are
            protocol = replace(protocol, num_slices=2 * protocol.num_slices, gaps=False)
        pair = scan_pair(mouse, plane, region, protocol, noise)
        animal = f"mouse{number + 1:02d}"
        return {
            "split": split,
            "scan": f"{animal}_{plane}_{region}",
            "images": {
                "image": (pair.image, pair.image_affine),
                "label": (pair.label, pair.label_affine),
                "mask": (pair.mask, pair.label_affine),
            },
            "animal": animal,
            "plane": plane,
            "region": region,
            "roi": pair.organ,
            "background": "muscle",
            "slice_thickness_mm": SLICE_MM,
            **dict.fromkeys(("noise_std", "nominal_noise_std"), protocol.fast_noise_std),
        }

    def _varied(self, number: int, split: str) -> dict[str, Any]:
        """Make a scan of another kind."""
        plan = _PLANS[self.size]
        seed = np.random.SeedSequence((self.seed, number))
        made = varied_scan(seed, plan.varied_matrix, plan.protocol.num_slices)
        sizes = (made.voxel_mm, made.voxel_mm, made.step_mm)
        fine, coarse = np.diag([*sizes, 1.0]), np.diag([2 * sizes[0], 2 * sizes[1], sizes[2], 1.0])
        coarse[:2, 3] = made.voxel_mm / 2
        return {
            "split": split,
            "scan": f"varied{number - _VARIED + 1:02d}_{made.plane}_{made.region}",
            "images": {"image": (made.image, coarse), "label": (made.label, fine)},
            "animal": f"varied{number - _VARIED + 1:02d}",
            "plane": made.plane,
            "region": made.region,
            "slice_thickness_mm": made.step_mm,
            "noise_std": made.noise_std,
            "nominal_noise_std": made.nominal_noise_std,
        }
