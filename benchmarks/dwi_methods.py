"""The methods that the pages on diffusion series compare: our model, classical ones, and chains."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import lfilter
from torch import Tensor

from benchmarks.measure import REPOSITORY
from benchmarks.real_dwi_measures import Array
from custom.bundle.launch import run_bundle
from custom.files.csv_table import read_table
from custom.physics.diffusion.gradient_table import GradientTable
from custom.physics.diffusion.neighbours import (
    neighbour_places,
    neighbour_weights,
    weighted_mean,
)
from custom.physics.diffusion.noise_estimate import fit_noise
from custom.transforms.dwi_baselines import DwiBaselined
from custom.transforms.non_local_means import non_local_means

BUNDLE = REPOSITORY / "bundles" / "dwi_vae"
METHOD_TITLES = {
    "noisy": "noisy",
    "ours": "ours",
    "ours_floor": "ours, floor put back",
    "ours_alone": "ours, voxel by voxel",
    "wls": "WLS tensor fit",
    "nlm": "non-local means",
    "patch2self": "Patch2Self",
    "mppca": "MP-PCA",
    "localpca": "local PCA",
    "mppca_wls": "MP-PCA, then WLS",
    "non_local_wls": "non-local average, then WLS",
}
_CHAIN_SOFTNESS = 0.64  # noise variances, of the non-local average


def train(series: Path, work: Path, max_epochs: int | None) -> Path:
    """Train our model for the protocol of a series, unless that was done; return its weights."""
    weights = work / "models" / "model.pt"
    if not weights.is_file():
        stem = str(series).removesuffix(".nii.gz")
        settings = {"bval": f"{stem}.bval", "bvec": f"{stem}.bvec", "output_dir": str(work)}
        settings |= {} if max_epochs is None else {"max_epochs": max_epochs}
        run_bundle(BUNDLE, ["train", "own_scan"], settings | {"use_mlflow": False})
    return weights


def epochs_of(work: Path) -> int:
    """Return how many epochs a training had."""
    return len(read_table(work / "metrics.csv", ("epoch",)))


def restore(
    series: Path, weights: Path, work: Path, neighbours: bool = True
) -> tuple[dict[str, Array], float]:
    """Restore a series with our model; return its files by name, and seconds of this process."""
    settings = {"input": str(series), "output_dir": str(work), "ckpt_path": str(weights)}
    settings |= {"overwrite": True, "neighbours": neighbours, "write_spread": True}
    begin = time.process_time()
    run_bundle(BUNDLE, ["inference", "own_scan"], settings)
    seconds = time.process_time() - begin
    stem = str(work / series.name.removesuffix(".nii.gz"))
    made = {
        name: np.asarray(nib.load(f"{stem}_{name}.nii.gz").dataobj, dtype=np.float32)
        for name in ("restored", "spread", "noise", "mask")
    }
    return made, seconds


def others(
    values: Array, table: GradientTable, mask: NDArray[np.bool_]
) -> tuple[dict[str, Array], dict[str, float]]:
    """Return what classical methods make of a series, and the seconds that each took."""
    series = torch.from_numpy(np.ascontiguousarray(np.moveaxis(values, -1, 0)))
    inside = torch.from_numpy(mask)
    data = {
        "image_mask": inside[None],
        "unweighted": torch.from_numpy(table.unweighted),
        "b_rows": table.b_rows,
    }
    made, seconds = {}, {}

    def add(name: str, work: Callable[[], Tensor], before: str | None = None) -> None:
        begin = time.process_time()
        made[name] = work()
        seconds[name] = time.process_time() - begin + seconds.get(before, 0.0)

    def by(method: str, given: Tensor) -> Callable[[], Tensor]:
        return lambda: torch.as_tensor(
            DwiBaselined("image", method)(data | {"image": given})["image"]
        )

    for name in ("wls", "patch2self", "mppca", "localpca"):
        add(name, by(name, series))
    add("nlm", lambda: _non_local_means(series, inside, table))
    add("mppca_wls", by("wls", made["mppca"]), "mppca")
    add("non_local", lambda: non_local(series, made["mppca"], inside, table), "mppca")
    add("non_local_wls", by("wls", made.pop("non_local")), "non_local")
    return {name: np.moveaxis(image.numpy(), 0, -1) for name, image in made.items()}, seconds


def non_local(series: Tensor, guide: Tensor, mask: Tensor, table: GradientTable) -> Tensor:
    """Average the 27 nearest voxels of a series, by how like they are in a guide."""
    signals = series[:, mask].T
    sigma = torch.full(signals.shape[:1], fit_noise(signals.clamp_min(1e-3), table.b_rows))
    places, inside = neighbour_places(mask)
    weights = neighbour_weights(
        guide[:, mask].T, sigma, places, inside, _CHAIN_SOFTNESS, unlike=1e6
    )
    average = series.clone()
    average[:, mask] = weighted_mean(signals, weights, places).T
    return average


def _non_local_means(series: Tensor, mask: Tensor, table: GradientTable) -> Tensor:
    """Restore each volume by non-local means, with the noise level of tensor residuals."""
    level = fit_noise(series[:, mask].T.clamp_min(1e-3), table.b_rows)
    found = [non_local_means(volume.numpy(), sigma=level) for volume in series]
    return torch.where(mask, torch.from_numpy(np.stack(found)), series)


def correlated_noise(
    rng: np.random.Generator, shape: Sequence[int], correlation: Sequence[float]
) -> NDArray[Any]:
    """Draw normal noise whose neighbours are correlated along the first axes."""
    noise = rng.standard_normal(shape)
    for axis, rho in enumerate(correlation):
        noise = lfilter([np.sqrt(1 - rho**2)], [1, -rho], noise, axis=axis)
    return np.asarray(noise)
