"""Classical restorations, and ours as a user runs it, of the page on acquired scans.

Each method has a folder with ``<case>_restored.nii.gz``. What is there is not made again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from scipy import fft, ndimage

from benchmarks.acquired_cases import Array, Case
from benchmarks.measure import REPOSITORY
from custom.bundle.launch import run_bundle
from custom.physics.acquisition import acquire, axis_operators, transfer
from custom.physics.downsampling import upsample
from custom.transforms.non_local_means import non_local_means

BUNDLE = REPOSITORY / "bundles" / "gan3d_sr_denoise"
Method = Callable[[Array, Case], Array]


def cubic(low: Array) -> Array:
    """Interpolate by cubic B-splines."""
    return upsample(torch.from_numpy(low)[None, None], "linear", 2, "cubic")[0, 0].numpy()


def lanczos(low: Array) -> Array:
    """Interpolate by Lanczos' windowed sinc of three lobes; beyond the faces voxels repeat."""
    for axis, size in enumerate(low.shape):
        place = (np.arange(2 * size) - 0.5) / 2
        weights = np.zeros((2 * size, size))
        for lobe in range(-3, 4):
            voxel = np.floor(place).astype(int) + lobe
            t = place - voxel
            weight = np.sinc(t) * np.sinc(t / 3) * (abs(t) < 3)
            np.add.at(weights, (np.arange(2 * size), voxel.clip(0, size - 1)), weight)
        weights /= weights.sum(axis=1, keepdims=True)
        low = np.moveaxis(np.tensordot(weights, low, (1, axis)), 0, axis)
    return low.astype(np.float32)


def deconvolved(low: Array, operator: str, sigma: float = 0.0, most_gain: float = 10.0) -> Array:
    """Return Wiener's inverse of an operator; beyond the measured band it is zero-filled.

    With the transfer function ``H``, frequencies are multiplied by ``H S / (H^2 S + sigma^2)``, at
    most ``most_gain``. ``S`` is the power of the volume without its noise, over shells of frequency
    of the coarse volume. For ``kspace`` and no noise this is plain zero filling.
    """
    spectrum = fft.dctn(low.astype(np.float64), norm="ortho")
    names = axis_operators(operator, (2, 2, 2))
    along = [transfer(name, size, 2) for name, size in zip(names, low.shape, strict=True)]
    damping = along[0][:, None, None] * along[1][:, None] * along[2]
    factor = 1 / np.maximum(damping, 1 / most_gain)
    if sigma:
        places = np.meshgrid(*(np.arange(n) / n for n in low.shape), indexing="ij")
        shell = (min(low.shape) / 2 * np.sqrt(np.square(places).sum(0))).astype(int)
        power = ndimage.mean(spectrum**2, shell, np.arange(shell.max() + 1))[shell]
        signal = np.maximum(power - sigma**2, 0) / damping**2
        factor = np.minimum(damping * signal / (damping**2 * signal + sigma**2), factor)
    filled = np.zeros([2 * size for size in low.shape])
    filled[tuple(slice(size) for size in low.shape)] = spectrum * factor
    return np.asarray(fft.idctn(filled, norm="ortho") * 2**1.5, np.float32)


def back_projected(low: Array, operator: str) -> Array:
    """Correct cubic splines where, acquired again, they contradict the volume; gain at most 2."""
    fine = cubic(low)
    again = acquire(torch.from_numpy(fine)[None, None], operator, 2)[0, 0].numpy()
    return fine + deconvolved(low - again, operator, most_gain=2.0)


def bm4d(noisy: Array, sigma: float) -> Array:
    """Denoise by BM4D; its package may be used for comparisons only, and is not ours to require."""
    from bm4d import bm4d as filtered

    return np.asarray(filtered(noisy, sigma), np.float32) if sigma else noisy


def _told(noisy: Array, case: Case) -> Array:
    return non_local_means(noisy, sigma=case.sigma) if case.sigma else noisy


BLIND: dict[str, Method] = {
    "cubic": lambda low, case: cubic(low),
    "Lanczos": lambda low, case: lanczos(low),
    "zero filling": lambda low, case: deconvolved(low, "kspace"),
    "NLM + cubic": lambda low, case: cubic(_told(low, case)),
}
TOLD: dict[str, Method] = {
    "back-projection": lambda low, case: back_projected(low, case.operator),
    "Wiener": lambda low, case: deconvolved(low, case.operator, case.sigma),
}
DENOISERS: dict[str, Method] = {
    "noisy": lambda noisy, case: noisy,
    "NLM, level estimated": lambda noisy, case: non_local_means(noisy),
    "NLM, level told": _told,
    "BM4D, level told": lambda noisy, case: bm4d(noisy, case.sigma),
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


def run_ours(name: str, settings: str, cases: Iterable[Case], work: Path) -> Path:
    """Restore all cases by the bundle, as ``mri-bundles restore`` does; return its folder.

    Args:
        name: Of the method.
        settings: Config ids and values, as YAML; ``{operator}`` in it is replaced by that of the
            case, which makes a method that is told the operator. ``config`` lists overlays.
        cases: What to restore.
        work: Where inputs and results go.
    """
    folder = work / name.replace(" ", "_")
    parts: dict[str, list[str]] = {}
    for case in cases:
        file = case.write(work / "inputs")
        parts.setdefault(settings.replace("{operator}", case.operator), []).append(str(file))
    for text, files in parts.items():
        ids: dict[str, Any] = {"write_difference": False, **yaml.safe_load(text)}
        overlays = ids.pop("config", [])
        run_bundle(
            BUNDLE,
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
