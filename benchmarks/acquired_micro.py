"""``micro_mri_denoise`` on real mice, at three noise levels, against classical methods.

No weight was trained on any of these animals. The slow scans are real; the fast partner of each is
simulated in k-space as in :mod:`benchmarks.real_data`, with the noise that physics gives it times
0.5, 1 and 2. Two animals were looked at while the model was made; they are not among these.

``interior`` is inside the brain, or the head, without its outer three voxels. What no method can
know counts for all: half of the reference's own noise lies beyond the measured band.

BM3D is compared where its package is installed, told the level; its licence allows comparisons
only, so it is not among our requirements. NLM estimates the level or is told it.

Run: ``python -m benchmarks.acquired_micro --data FOLDER --work FOLDER``. What lies in the working
folder is not made again.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.measure import REPOSITORY, RESULTS
from benchmarks.real_data import in_plane_noise, thick_slices
from benchmarks.worst_picture import draw_worst
from custom.bundle.launch import run_bundle
from custom.evaluation.image_measures import psnr
from custom.evaluation.summary import mean_gain
from custom.files.atomic import sha256_of, write_json
from custom.physics.kspace_acquisition import (
    DEFAULT_SCAN,
    FAST_SCAN,
    simulate_low_resolution,
    snr_ratio,
)
from custom.transforms.non_local_means import non_local_means
from custom.transforms.upsample_in_plane import upsample_in_plane

Array = NDArray[np.float32]
BUNDLE = REPOSITORY / "bundles" / "micro_mri_denoise"
PICTURE = REPOSITORY / "docs" / "images" / "acquired_worst_micro.jpg"
BRAINS = ("fvb_wt5", "fvb_wt6", "rtg4510_16_UT", "rtg4510_17_UT", "rtg4510_18_TT")
FACTORS = (0.5, 1.0, 2.0)
AIM_DB = 0.8
OURS = "model"
INTERIOR = psnr(region="interior")


@dataclass(frozen=True)
class Pair:
    """A real stack and its simulated fast partner; ``sigma`` is the partner's noise."""

    animal: str
    stack: str
    factor: float
    low: Array
    high: Array
    interior: NDArray[np.bool_]
    sigma: float

    @property
    def name(self) -> str:
        """Name of the files of this pair."""
        return f"{self.animal}_{self.stack}_{self.factor:g}"


def pairs(data: Path) -> Iterator[Pair]:
    """Yield all pairs of the brains, and of a head with its skull."""
    for name in BRAINS:
        volume = nib.load(data / "mouse" / f"{name}_T2w_150um_brain.nii.gz")
        for plane, high, _ in thick_slices(volume):
            noise = in_plane_noise(high)
            inside = ndimage.binary_erosion(high > 0, np.ones((3, 3, 1)), iterations=3)
            for factor in FACTORS:
                low = _fast(high, factor, noise, name, plane)
                # Cut out as the reference is, as a user does who extracts the brain first.
                cut = (high > 0).reshape(low.shape[0], 2, low.shape[1], 2, -1).any(axis=(1, 3))
                yield Pair(name, plane, factor, low * cut, high, inside, _sigma(noise, factor))
    head = nib.load(data / "mouse" / "sherm_mouse1_T1w_head.nii.gz")
    high = np.asarray(head.dataobj, np.float32)
    mask = np.asarray(nib.load(data / "mouse" / "sherm_mouse1_mask.nii.gz").dataobj) > 0
    inside = ndimage.binary_erosion(mask, np.ones((3, 3, 1)), iterations=3)
    noise = _noise_within(high, inside)
    for factor in FACTORS:
        low = _fast(high, factor, noise, "sherm", "head")
        yield Pair("sherm_head", "coronal", factor, low, high, inside, _sigma(noise, factor))


def _fast(high: Array, factor: float, noise: float, *name: str) -> Array:
    """Return the fast partner of a stack."""
    seed = np.frombuffer("".join(name).encode(), np.uint8).tolist()
    rng = np.random.default_rng([*seed, round(10 * factor)])
    return simulate_low_resolution(high, _sigma(noise, factor), rng, high_noise_std=noise)


def _sigma(noise: float, factor: float) -> float:
    """Return the noise of the fast partner."""
    return factor * noise * snr_ratio(DEFAULT_SCAN, FAST_SCAN)


def _noise_within(stack: Array, inside: NDArray[np.bool_]) -> float:
    """Return the noise of a stack, within a part of it."""
    shown = np.where(ndimage.binary_dilation(inside, iterations=2), stack, 0)
    return in_plane_noise(shown)


def finer(low: Array, mode: str) -> Array:
    """Interpolate a stack in its plane."""
    return np.asarray(upsample_in_plane(torch.from_numpy(low)[None], 2, mode)[0])  # type: ignore[arg-type]


def bm3d(low: Array, sigma: float) -> Array:
    """Denoise slice by slice by BM3D, which may be used for comparisons only."""
    from bm3d import bm3d as filtered

    return np.stack([filtered(part, sigma) for part in np.moveaxis(low, -1, 0)], -1)


DENOISERS: dict[str, Callable[[Pair], Array]] = {
    "": lambda pair: pair.low,
    "NLM": lambda pair: non_local_means(pair.low),
    "NLM told": lambda pair: non_local_means(pair.low, sigma=pair.sigma),
    **({"BM3D told": lambda pair: bm3d(pair.low, pair.sigma)} if find_spec("bm3d") else {}),
}
MODES = {"bicubic": "bicubic", "zero-filling": "zero_filled"}


def classical(pair: Pair, work: Path) -> dict[str, Array]:
    """Return what the classical methods make of a pair, kept in a folder."""
    found = {}
    for denoiser, make in DENOISERS.items():
        file = work / "classical" / f"{pair.name}_{denoiser or 'plain'}.npy"
        if not file.is_file():
            file.parent.mkdir(parents=True, exist_ok=True)
            np.save(file, np.asarray(make(pair), np.float32))
        for name, mode in MODES.items():
            title = f"{denoiser} + {name}" if denoiser else name
            found[title] = finer(np.load(file), mode)
    return found


def ours(chosen: list[Pair], work: Path) -> dict[str, Array]:
    """Restore all pairs as ``mri-bundles restore`` does; return results by name."""
    folder = work / "ours"
    files = []
    for pair in chosen:
        file = work / "inputs" / f"{pair.name}.nii.gz"
        file.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(pair.low, np.diag([0.3, 0.3, 0.6, 1.0])), file)
        files.append(str(file))
    settings = {"input": files, "output_dir": str(folder), "overwrite": True, "slice_axis": 2}
    run_bundle(BUNDLE, ["inference"], settings)
    return {
        pair.name: np.asarray(nib.load(folder / f"{pair.name}_restored.nii.gz").dataobj)
        for pair in chosen
    }


def rows_of(pair: Pair, results: dict[str, Array]) -> Iterator[dict[str, Any]]:
    """Yield the measures of every method; the data range is that of the reference."""
    width = float(pair.high.max() - pair.high.min())
    for method, result in results.items():
        error = np.square(np.maximum(result, 0) - pair.high)
        known = {"psnr": error.mean(), INTERIOR.name: error[pair.interior].mean()}
        yield {
            "scan": pair.name,
            "subject": pair.animal,
            "plane": pair.stack,
            "noise": pair.factor,
            "method": method,
            **{name: 10 * float(np.log10(width**2 / value)) for name, value in known.items()},
        }


def gains(rows: list[dict[str, Any]], factor: float) -> dict[str, Any]:
    """Compare ours with the best of the others, inside and whole, at a noise level."""
    level = [row for row in rows if row["noise"] == factor]
    means = {
        name: {
            method: float(np.mean([row[name] for row in level if row["method"] == method]))
            for method in dict.fromkeys(row["method"] for row in level)
        }
        for name in ("psnr", INTERIOR.name)
    }
    inside = means[INTERIOR.name]
    best = max((method for method in inside if method != OURS), key=lambda name: inside[name])
    found: dict[str, Any] = {"noise": factor, "mean": means, "best": best}
    found["gain"] = mean_gain(level, INTERIOR, best)
    of = {(row["method"], row["scan"]): row for row in level}
    for name in means:
        found[f"worst over bicubic, {name}"] = min(
            of[OURS, scan][name] - of["bicubic", scan][name] for _, scan in of
        )
    found["aim met"] = bool(inside[OURS] - inside[best] >= AIM_DB)
    return found


def worst_of(found: list[dict[str, Any]], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return where ours is most behind the best of the others, inside, and by how much."""
    best = {part["noise"]: part["best"] for part in found}
    of = {(row["method"], row["scan"]): row[INTERIOR.name] for row in rows}
    behind = {
        scan: (of[OURS, scan] - of[best[noise], scan], best[noise])
        for scan, noise in {row["scan"]: row["noise"] for row in rows}.items()
    }
    scan = min(behind, key=lambda name: behind[name])
    return {"scan": scan, "gain": behind[scan][0], "best": behind[scan][1]}


def page(found: list[dict[str, Any]], rows: list[dict[str, Any]]) -> str:
    """Return the page."""
    methods = list(found[0]["mean"]["psnr"])
    lines = [
        "# `micro_mri_denoise` on real mice",
        "",
        "Written by `python -m benchmarks.acquired_micro`; do not edit.",
        "",
        f"{len({row['subject'] for row in rows})} mice that no training saw, five brains "
        "(T2-weighted, extracted) and a head with its skull (T1-weighted); the fast partner of "
        "each stack is simulated, with 0.5, 1 and 2 times the noise that physics gives it. PSNR in "
        "dB, mean over stacks: inside (without the outer three voxels) / whole. NLM and BM3D act "
        "before the interpolation.",
        "",
        "| | " + " | ".join(f"noise x {part['noise']:g}" for part in found) + " |",
        "|---|" + "---|" * len(found),
    ]
    for method in methods:
        cells = [
            f"{part['mean'][INTERIOR.name][method]:.2f} / {part['mean']['psnr'][method]:.2f}"
            for part in found
        ]
        lines.append(f"| {'**ours**' if method == OURS else method} | " + " | ".join(cells) + " |")
    lines.append("")
    for part in found:
        inside = part["mean"][INTERIOR.name]
        gain = inside[OURS] - inside[part["best"]]
        worst = [part[f"worst over bicubic, {name}"] for name in (INTERIOR.name, "psnr")]
        lines.append(
            f"- Noise x {part['noise']:g}: {gain:+.2f} dB inside against {part['best']}, the best "
            f"of the others: the aim of {AIM_DB:+.1f} dB is "
            f"{'met' if part['aim met'] else '**not met**'}. Worst stack against bicubic: "
            f"{worst[0]:+.2f} dB inside, {worst[1]:+.2f} dB whole."
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, and write the numbers and the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with the open data")
    parser.add_argument("--work", type=Path, required=True, help="folder for what is made")
    parser.add_argument("--classical", action="store_true", help="make the classical results only")
    given = parser.parse_args()
    chosen = list(pairs(given.data))
    others = {pair.name: classical(pair, given.work) for pair in chosen}
    if given.classical:
        return
    restored = ours(chosen, given.work)
    rows = [
        row
        for pair in chosen
        for row in rows_of(pair, {**others[pair.name], OURS: restored[pair.name]})
    ]
    found = [gains(rows, factor) for factor in FACTORS]
    worst = worst_of(found, rows)
    (pair,) = (pair for pair in chosen if pair.name == worst["scan"])
    shown = {"reference": pair.high, "fast partner": pair.low}
    shown |= {worst["best"]: others[pair.name][worst["best"]], "ours": restored[pair.name]}
    draw_worst(shown, PICTURE, given.work)
    content = {
        "about": "PSNR [dB] on real mice that no training saw; fast partners are simulated",
        "weights": sha256_of(BUNDLE / "models" / "model.pt"),
        "aim_db": AIM_DB,
        "levels": found,
        "worst": worst,
        "rows": rows,
    }
    write_json(RESULTS / "acquired_micro.json", content)
    (RESULTS / "acquired_micro.md").write_text(page(found, rows), encoding="utf-8")
    print(RESULTS / "acquired_micro.md")


if __name__ == "__main__":
    main()
