"""Small diffusion series of known tensors, and networks whose answer is known."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.data import MetaTensor

from custom.networks.stored_protocol import StoredProtocol
from custom.physics.diffusion.gradient_table import GradientTable, read_gradient_table
from custom.physics.diffusion.tensor import tensor_signal

PROTOCOLS = Path(__file__).parents[2] / "bundles" / "dwi_vae" / "configs" / "protocols"
TABLES = PROTOCOLS / "paper.bval", PROTOCOLS / "paper.bvec"
AFFINE = np.array([[0, -2, 0, 5.0], [2, 0, 0, -3], [0, 0, 2.5, 7], [0, 0, 0, 1]])


def study_table() -> GradientTable:
    return read_gradient_table(*TABLES)


def study_protocol(rule: Any = "known") -> StoredProtocol:
    return StoredProtocol(study_table().b_rows, rule)


@dataclass
class Series:
    """A ball of tissue in an empty field of view; volumes last."""

    clean: np.ndarray
    noisy: np.ndarray
    s0: np.ndarray
    inside: np.ndarray


def make_series(
    shape: tuple[int, int, int] = (12, 11, 10), sigma: float = 0.05, seed: int = 0
) -> Series:
    """Tensors that vary smoothly, an S0 that varies by two, and noise in units of S0."""
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    inside = x**2 + y**2 + z**2 < 0.75
    diagonal = np.stack([1.0 + 0.6 * x, 0.9 + 0.5 * y, 0.7 + 0.4 * z], -1)
    tensors = np.concatenate([diagonal, np.stack([0.1 * y, 0.1 * z, 0.1 * x], -1)], -1)
    signal = tensor_signal(torch.from_numpy(tensors).float(), study_table().b_rows).numpy()
    s0 = 600.0 + 200.0 * x * inside
    clean = signal * (s0 * inside)[..., None]
    noisy = np.clip(clean + sigma * s0[..., None] * rng.normal(size=clean.shape), 0, None)
    return Series(clean, noisy.astype(np.float32), s0.astype(np.float32), inside)


def volumes_first(series: np.ndarray) -> MetaTensor:
    """Return a series as it is loaded, ``(M, X, Y, Z)``."""
    image = torch.from_numpy(np.moveaxis(series, -1, 0)).float()
    return MetaTensor(image, affine=torch.from_numpy(AFFINE))


def restored_item(series: Series, **more: Any) -> dict[str, Any]:
    """Return what handlers find of a scan that a perfect model has restored."""
    table = study_table()
    return {
        "scan": "head",
        "label": volumes_first(series.clean),
        "image": volumes_first(series.noisy),
        "pred": volumes_first(series.clean),
        "mask": torch.from_numpy(series.inside)[None].float(),
        "s0": torch.from_numpy(series.s0)[None],
        "b_rows": table.b_rows,
        "unweighted": torch.from_numpy(table.unweighted),
    } | more


def save_image(path: Path, array: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, path)
    return path


def save_series(path: Path, array: np.ndarray, table: GradientTable | None = None) -> Path:
    """Write a series with its tables beside it: the study's, or others."""
    stem = path.name.removesuffix(".nii.gz")
    save_image(path, array)
    beside = path.with_name(f"{stem}.bval"), path.with_name(f"{stem}.bvec")
    if table is not None:
        table.write(*beside)
    else:
        for source, target in zip(TABLES, beside, strict=True):
            shutil.copyfile(source, target)
    return path
