"""Lesions of multiple sclerosis, restored: the error inside them, and the contrast that is kept.

Two people, whose lesion masks are a consensus (Lesjak et al., 2017). Both were in the training of
our networks, which flatters ours; no other volume of the data has a mask of lesions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_multiotsu

from benchmarks.acquired_cases import SAME_GRID, TRAINED, Case, Truth
from benchmarks.acquired_measures import HEAD, Row, measured
from benchmarks.acquired_methods import restored
from benchmarks.acquired_page import level, of_condition
from benchmarks.publishing import markdown
from custom.physics.intensity_statistics import reference_intensity

CONTRASTS = ("FLAIR", "T2", "T1")
RESTORED = (((2, 2, 2), 0.0), ((2, 2, 2), 0.03), ((1, 1, 4), 0.0))  # after k-space truncation
DENOISED = (0.03,)
_PEOPLE = ("07", "19")
_CROP = 80  # voxels along each axis, around the middle of the lesions
_SMALL = 50  # voxels of 1 mm
_APART = 3  # voxels between lesions and the white matter that they are compared with


@dataclass(frozen=True, eq=False)
class Lesions(Truth):
    """A volume whose ``head`` is the lesions alone.

    Args:
        small: The small ones among them.
        white: White matter away from them.
        contrast: One of ``CONTRASTS``.
    """

    small: NDArray[np.bool_]
    white: NDArray[np.bool_]
    contrast: str


def lesions(data: Path, planes: bool = False) -> Iterator[Lesions]:
    """Read the volumes around the lesions; or whole planes of them."""
    for person in _PEOPLE:
        start = data / "human_multi" / f"ms_patient{person}"
        drawn = np.asarray(nib.load(f"{start}_lesionmask_MNI.nii.gz").dataobj) > 0
        images = {one: nib.load(f"{start}_{one}_1mm_brain_MNI.nii.gz") for one in CONTRASTS}
        corner = [round(x) - _CROP // 2 for x in ndimage.center_of_mass(drawn)]
        if planes:
            corner[:2] = [0, 0]
        ends = [None, None, corner[2] + _CROP] if planes else [first + _CROP for first in corner]
        box = tuple(map(slice, corner, ends))
        numbered, count = ndimage.label(drawn)
        sizes = ndimage.sum_labels(drawn, numbered, range(count + 1))
        anatomy = np.asarray(images["T1"].dataobj, np.float32)
        white = white_matter(anatomy)
        white &= ~ndimage.binary_dilation(drawn, iterations=_APART)
        for contrast, image in images.items():
            whole = np.asarray(image.dataobj, np.float32)
            tissue = float(reference_intensity(torch.from_numpy(whole), "foreground_mean"))
            affine = np.asarray(image.affine, np.float64)
            affine[:3, 3] += affine[:3, :3] @ corner
            yield Lesions(
                f"ms{person}_{contrast}",
                f"ms{person}",
                TRAINED,
                np.ascontiguousarray(whole[box]),
                drawn[box],
                tissue,
                affine,
                ((sizes < _SMALL)[numbered] & drawn)[box],
                white[box],
                contrast,
            )


def white_matter(anatomy: NDArray[Any]) -> NDArray[np.bool_]:
    """Return the brightest of three tissues of a T1-weighted brain, without its edge."""
    _, brightest = threshold_multiotsu(anatomy[anatomy > 0], 3)
    return np.asarray(ndimage.binary_erosion(anatomy > brightest))


def lesion_cases(data: Path) -> tuple[list[Case], list[Case]]:
    """Return what is brought to the finer grid, and what is denoised: of one, BM4D is slow."""
    truths = list(lesions(data))
    coarse = [Case(one, "kspace", noise, 0, scale) for one in truths for scale, noise in RESTORED]
    first = [one for one in truths if one.subject == truths[0].subject]
    return coarse, [Case(one, SAME_GRID, noise) for one in first for noise in DENOISED]


def lesion_table(cases: Sequence[Case], made: Mapping[str, Path], ours: str) -> str:
    """Return error and contrast of ours beside those of the classical method of the best mean."""
    rows = [_row(case, name, folder) for case in cases for name, folder in made.items()]
    lines = []
    for made_by, noise in dict.fromkeys((case.made_by, case.noise) for case in cases):
        for contrast in CONTRASTS:
            part = [r for r in of_condition(rows, made_by, noise) if r["contrast"] == contrast]
            means = {
                name: {
                    key: float(np.mean([row[key] for row in part if row["method"] == name]))
                    for key in (HEAD.name, "kept", "kept_small")
                }
                for name in made
            }
            best = max((name for name in made if name != ours), key=lambda n: means[n][HEAD.name])
            cells = [
                f"{means[ours][key]:{form}} / {means[best][key]:{form}}"
                for key, form in ((HEAD.name, ".2f"), ("kept", ".3f"), ("kept_small", ".3f"))
            ]
            lines.append([made_by, level(noise), contrast, *cells, best])
    head = ["made by", "noise", "contrast", "PSNR in lesions, dB", "contrast kept"]
    return markdown([*head, "of small lesions", "the classical method"], lines)


def _row(case: Case, method: str, folder: Path) -> Row:
    """Return the measures of one result."""
    truth: Any = case.truth
    result = restored(folder, case)

    def contrast(values: NDArray[Any], where: NDArray[np.bool_]) -> float:
        return float(values[where].mean() - values[truth.white].mean())

    kept = {
        name: contrast(result, where) / contrast(truth.values, where)
        for name, where in (("kept", truth.head), ("kept_small", truth.small))
    }
    about = {"operator": case.made_by, "noise": case.noise, "contrast": truth.contrast}
    return {"method": method, **about, **kept, **measured(case, result)}
