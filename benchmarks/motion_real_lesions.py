"""Lesions in heads that moved: whether contrast and area survive motion and its correction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.acquired_cases import HELD, Repeat
from benchmarks.acquired_lesions import Lesions, lesions, white_matter
from benchmarks.motion_real_cases import AS_TRAINED, middle, moving, standing
from benchmarks.publishing import markdown
from custom.physics.intensity_statistics import reference_intensity

SLICES = 24
SMALL = 50  # voxels of 1 mm
_BRIGHT = 1.5  # times white matter: what counts as a stroke's gliosis in FLAIR
_IMPLANTED = {"small": (1.5, 24), "large": (4.0, 6)}  # radius in mm, number
_RING = 3  # voxels around a lesion that it is compared with
_FEWEST = 4  # voxels of a lesion, and of its surroundings

Mask = NDArray[np.bool_]


def lesion_truths(data: Path) -> list[tuple[str, Lesions]]:
    """Return volumes with lesions, each with where its lesions are known from."""
    drawn = [("drawn, MS; in training", one) for one in lesions(data, planes=True)]
    found = [pair for pair in drawn if pair[1].contrast != "T1"]
    found += [(name, one) for name, one in _stroke(data)]
    cut = [(name, middle(one, SLICES)) for name, one in found]
    return [(name, replace(one, values=one.values.clip(min=0))) for name, one in cut]


def _stroke(data: Path) -> Iterator[tuple[str, Lesions]]:
    """Read the person with a stroke, of a scanner that the training has not: no mask is drawn."""
    start = data / "human_multi" / "stroke"
    images = {one: nib.load(f"{start}_{one}_1mm_brain.nii.gz") for one in ("T1", "T2", "FLAIR")}
    values = {name: np.asarray(image.dataobj, np.float32) for name, image in images.items()}
    white = white_matter(values["T1"])
    flair = ndimage.gaussian_filter(values["FLAIR"], 1)
    bright = flair > _BRIGHT * np.median(flair[white])
    centre = round(ndimage.center_of_mass(bright)[2])
    part = np.s_[..., max(0, centre - SLICES // 2) : centre + SLICES // 2]
    places = white[part] & ~ndimage.binary_dilation(bright[part], iterations=_RING)
    for contrast in ("FLAIR", "T2"):
        image = values[contrast][part]
        if contrast == "FLAIR":
            yield "by threshold, stroke", _lesions("stroke_FLAIR", image, bright[part], white[part])
        known = implanted(image, places)
        yield "implanted in white matter", _lesions(f"implanted_{contrast}", *known, white[part])


def _lesions(scan: str, image: NDArray[Any], mask: Mask, white: Mask) -> Lesions:
    """Return a volume with lesions."""
    tissue = float(reference_intensity(torch.from_numpy(image), "foreground_mean"))
    away = white & ~ndimage.binary_dilation(mask, iterations=_RING)
    about = (np.ascontiguousarray(image), mask, tissue, np.eye(4), small_of(mask), away)
    return Lesions(scan, "stroke", HELD, *about, scan.split("_")[1])


def implanted(image: NDArray[Any], places: Mask) -> tuple[NDArray[Any], Mask]:
    """Return an image with spheres half as bright again as their surroundings, and their mask."""
    rng = np.random.default_rng(0)
    mask = np.zeros(image.shape, bool)
    grid = np.stack(np.indices(image.shape))
    for radius, count in reversed(_IMPLANTED.values()):
        inside = ndimage.distance_transform_edt(np.pad(places, 1))[1:-1, 1:-1, 1:-1] > radius
        for _ in range(count):
            free = np.argwhere(inside & (ndimage.distance_transform_edt(~mask) > radius + 6))
            if not len(free):
                break
            centre = free[rng.integers(len(free))]
            mask |= np.linalg.norm(grid - centre[:, None, None, None], axis=0) <= radius
    soft = ndimage.gaussian_filter(mask.astype(np.float32), 0.5)
    return image + 0.5 * float(np.median(image[places])) * soft, mask


def small_of(mask: Mask) -> Mask:
    """Return the lesions of fewer than ``SMALL`` voxels."""
    numbered, count = ndimage.label(mask)
    sizes = ndimage.sum_labels(mask, numbered, range(count + 1))
    return np.asarray((sizes < SMALL)[numbered] & mask)


def lesion_kept(values: NDArray[Any], truth: NDArray[Any], lesion: Mask, ring: Mask) -> Any:
    """Return the contrast and the area of a lesion, each over those of the truth.

    Contrast: mean of the lesion less mean of its ring. Area: voxels of both on the lesion's side of
    the middle between the two means of the truth.
    """
    inside, outside = float(truth[lesion].mean()), float(truth[ring].mean())
    contrast = float(values[lesion].mean() - values[ring].mean()) / (inside - outside)
    level, sign = (inside + outside) / 2, np.sign(inside - outside)
    both = lesion | ring
    area, of_truth = (int((sign * (v[both] - level) > 0).sum()) for v in (values, truth))
    return contrast, area / of_truth


def each_lesion(truth: Lesions) -> Iterator[tuple[str, Any, Mask, Mask]]:
    """Return size, place, mask and surroundings of each lesion that stands out by a tenth."""
    numbered, _ = ndimage.label(truth.head)
    for number, box in enumerate(ndimage.find_objects(numbered), start=1):
        wide = tuple(slice(max(0, s.start - _RING - 1), s.stop + _RING + 1) for s in box)
        lesion = numbered[wide] == number
        near = ndimage.binary_dilation(lesion, iterations=_RING)
        ring = near & ~ndimage.binary_dilation(lesion) & ~truth.head[wide]
        ring &= truth.values[wide] > 0
        if min(lesion.sum(), ring.sum()) < _FEWEST:
            continue
        values = truth.values[wide]
        inside, outside = values[lesion].mean(), values[ring].mean()
        if abs(inside - outside) > 0.1 * outside:
            yield "small" if lesion.sum() < SMALL else "large", wide, lesion, ring


def lesion_cases(truths: Sequence[tuple[str, Lesions]], draws: int) -> list[tuple[str, Repeat]]:
    """Return the volumes that moved, and those that did not."""
    cases = [
        (name, moving(one, AS_TRAINED, draw, SLICES))
        for name, one in truths
        for draw in range(draws)
    ]
    return cases + [(name, standing(one, AS_TRAINED, SLICES)) for name, one in truths]


def lesion_rows(cases: Sequence[tuple[str, Repeat]], results: Mapping[str, Any]) -> list[Any]:
    """Return what is kept of each lesion before and after."""
    rows = []
    for known, case in cases:
        truth: Any = case.truth
        for size, wide, lesion, ring in each_lesion(truth):
            row = {"known": known, "contrast": truth.contrast, "size": size, "read": case.operator}
            for name, values in (("before", case.single), ("after", results[case.name])):
                kept = lesion_kept(values[wide], truth.values[wide], lesion, ring)
                row[f"contrast_{name}"], row[f"area_{name}"] = kept
            rows.append(row)
    return rows


def lesion_summary(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return medians and how many lesions fell below half their contrast, of each group."""
    keys = ("read", "known", "contrast", "size")
    groups = dict.fromkeys(tuple(row[key] for key in keys) for row in rows)
    found = []
    for group in groups:
        part = [row for row in rows if tuple(row[key] for key in keys) == group]
        one: dict[str, Any] = {**dict(zip(keys, group, strict=True)), "lesions": len(part)}
        for when in ("before", "after"):
            contrast = np.array([row[f"contrast_{when}"] for row in part])
            one[f"contrast_{when}"] = np.quantile(contrast, [0.5, 0.1]).tolist()
            one[f"area_{when}"] = float(np.median([row[f"area_{when}"] for row in part]))
            one[f"lost_{when}"] = float(np.mean(contrast < 0.5))
        found.append(one)
    return found


def lesion_table(summary: Sequence[Mapping[str, Any]]) -> str:
    """Return the groups as Markdown."""
    lines = []
    for one in summary:
        low = {when: one[f"contrast_{when}"] for when in ("before", "after")}
        lines.append(
            [
                *("still" if one["read"] == "still" else "moved", one["known"], one["contrast"]),
                *(one["size"], one["lesions"]),
                f"{low['before'][0]:.2f} / {low['after'][0]:.2f}",
                f"{low['before'][1]:.2f} / {low['after'][1]:.2f}",
                f"{one['area_before']:.2f} / {one['area_after']:.2f}",
                f"{100 * one['lost_before']:.0f} % / {100 * one['lost_after']:.0f} %",
            ]
        )
    head = ["head", "lesions known", "contrast", "size", "number", "contrast kept, median"]
    return markdown([*head, "contrast kept, worst tenth", "area kept, median", "below half"], lines)
