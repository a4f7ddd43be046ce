"""Classical restorations, and ours as a user runs it, of the page on acquired scans.

Each method has a folder with ``<case>_restored.nii.gz``. What is there is not made again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from benchmarks.acquired_cases import Array, Case
from benchmarks.measure import REPOSITORY
from custom.bundle.launch import run_bundle
from custom.physics.acquisition import acquire
from custom.physics.deconvolution import deconvolved
from custom.physics.downsampling import upsample
from custom.transforms.noise_level import NoiseLevelChanneld
from custom.transforms.non_local_means import non_local_means

BUNDLE = REPOSITORY / "bundles" / "gan3d_sr_denoise"
Method = Callable[[Array, Case], Array]
# Names of ``acquired_by``; of an operator that no training uses it is told nothing.
AS_TOLD = {"kspace": "truncated", "triangle": "linear", "spline": "acquired"}


def cubic(low: Array, scale: Sequence[int] = (2, 2, 2)) -> Array:
    """Interpolate by cubic B-splines."""
    return upsample(torch.from_numpy(low)[None, None], "linear", scale, "cubic")[0, 0].numpy()


def lanczos(low: Array, scale: Sequence[int] = (2, 2, 2)) -> Array:
    """Interpolate by Lanczos' windowed sinc of three lobes; beyond the faces voxels repeat."""
    for axis, (size, factor) in enumerate(zip(low.shape, scale, strict=True)):
        place = (np.arange(factor * size) - (factor - 1) / 2) / factor
        weights = np.zeros((factor * size, size))
        for lobe in range(-3, 4):
            voxel = np.floor(place).astype(int) + lobe
            t = place - voxel
            weight = np.sinc(t) * np.sinc(t / 3) * (abs(t) < 3)
            np.add.at(weights, (np.arange(factor * size), voxel.clip(0, size - 1)), weight)
        weights /= weights.sum(axis=1, keepdims=True)
        low = np.moveaxis(np.tensordot(weights, low, (1, axis)), 0, axis)
    return low.astype(np.float32)


def back_projected(low: Array, operator: str, scale: Sequence[int] = (2, 2, 2)) -> Array:
    """Correct cubic splines where, acquired again, they contradict the volume; gain at most 2."""
    fine = cubic(low, scale)
    again = acquire(torch.from_numpy(fine)[None, None], operator, scale)[0, 0].numpy()
    return fine + deconvolved(low - again, operator, scale, most_gain=2.0)


def bm4d(noisy: Array, sigma: float) -> Array:
    """Denoise by BM4D; its package may be used for comparisons only, and is not ours to require."""
    from bm4d import bm4d as filtered

    return np.asarray(filtered(noisy, sigma), np.float32) if sigma else noisy


def _told(noisy: Array, case: Case) -> Array:
    return non_local_means(noisy, sigma=case.sigma) if case.sigma else noisy


def _estimated(noisy: Array) -> float:
    """Return the level in the tissue as our denoiser estimates it."""
    top = float(noisy.max())
    item = {"image": torch.from_numpy(noisy / top)[None], "image_scale": top}
    return float(NoiseLevelChanneld("image")(item)["noise_level"])


BLIND: dict[str, Method] = {
    "cubic": lambda low, case: cubic(low, case.scale),
    "Lanczos": lambda low, case: lanczos(low, case.scale),
    "zero filling": lambda low, case: deconvolved(low, "kspace", case.scale),
    "NLM + cubic": lambda low, case: cubic(_told(low, case), case.scale),
}
TOLD: dict[str, Method] = {
    "back-projection": lambda low, case: back_projected(low, case.operator, case.scale),
    "Wiener": lambda low, case: deconvolved(low, case.operator, case.scale, case.sigma),
    "NLM + Wiener": lambda low, case: deconvolved(
        _told(low, case), case.operator, case.scale, case.sigma / 3
    ),
}
DENOISERS: dict[str, Method] = {
    "noisy": lambda noisy, case: noisy,
    "NLM, level estimated": lambda noisy, case: non_local_means(noisy),
    "NLM, level told": _told,
    "BM4D, level told": lambda noisy, case: bm4d(noisy, case.sigma),
    "BM4D, level estimated": lambda noisy, case: bm4d(noisy, _estimated(noisy)),
}


def available(methods: Mapping[str, Method]) -> dict[str, Method]:
    """Return the methods whose packages are installed."""
    return {
        name: method
        for name, method in methods.items()
        if not name.startswith("BM4D") or find_spec("bm4d")
    }


def run_classical(name: str, method: Method, cases: Iterable[Case], work: Path) -> Path:
    """Restore all cases by a classical method; return its folder."""
    folder = work / name.replace(" ", "_")
    folder.mkdir(parents=True, exist_ok=True)
    for case in cases:
        file = folder / f"{case.name}_restored.nii.gz"
        if not file.is_file():
            restored = method(case.degraded(), case)
            nib.save(nib.Nifti1Image(np.maximum(restored, 0), np.eye(4)), file)
    return folder


def run_ours(
    name: str, settings: str, cases: Iterable[Case], work: Path, bundle: Path = BUNDLE
) -> Path:
    """Restore all cases by a bundle, as ``mri-bundles restore`` does; return its folder.

    Args:
        name: Of the method.
        settings: Config ids and values, as YAML; ``{operator}`` and ``{sigma}`` in it are replaced
            by those of the case, of which the method is told so. ``config`` lists overlays.
        cases: What to restore.
        work: Where inputs and results go.
        bundle: Its folder.
    """
    folder = work / name.replace(" ", "_")
    parts: dict[str, list[str]] = {}
    for case in cases:
        file = case.write(work / "inputs")
        told = settings.replace("{operator}", AS_TOLD.get(case.operator, case.operator))
        told = told.replace("{sigma}", f"{case.sigma:.6g}")
        if min(case.scale) != max(case.scale):
            told = json.dumps({**yaml.safe_load(told), "scale": list(case.scale)})
        parts.setdefault(told, []).append(str(file))
    for text, files in parts.items():
        ids: dict[str, Any] = yaml.safe_load(text)
        if bundle == BUNDLE:
            ids = {"write_difference": False, **ids}
        overlays = ids.pop("config", [])
        run_bundle(
            bundle,
            ["inference", *overlays],
            {"input": files, "output_dir": str(folder), "skip_existing": True, **ids},
        )
    return folder


def restored(folder: Path, case: Case) -> NDArray[np.float64]:
    """Read a result."""
    file = folder / f"{case.name}_restored.nii.gz"
    if not file.is_file():
        raise SystemExit(f"{file} is missing: each case must be restored")
    values = np.asarray(nib.load(file).dataobj, np.float64)
    if values.shape != case.truth.values.shape:
        raise SystemExit(f"{file} is {values.shape}, not on the grid of the reference")
    return values
