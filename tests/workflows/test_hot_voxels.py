"""Hot voxels and their kin change a restoration near them alone, with the weights that ship."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from diffusion_series import make_series, save_series

from custom.bundle.launch import run_bundle

BUNDLES = Path(__file__).parents[2] / "bundles"
TISSUE = 600.0
NEAR = 6  # voxels along the first axis: where the disturbances are
REACH = 20  # voxels: none of the networks sees farther


def body(shape: tuple[int, ...]) -> np.ndarray:
    """Three tissues in noise, a third of the image."""
    rng = np.random.default_rng(0)
    grids = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    radius = np.hypot(grids[0] / 0.8, grids[1] / 0.6)
    tissue = np.select([radius < 0.4, radius < 0.7, radius < 1], [500, 900, TISSUE], 0)
    return np.hypot(tissue + rng.normal(0, 20, shape), rng.normal(0, 20, shape))


def disturbed(image: np.ndarray) -> dict[str, np.ndarray]:
    """The image as it is, and with what scanners and programs add."""
    voxels = np.prod(image.shape[:3])
    near = np.argwhere(np.ones((NEAR, *image.shape[1:3])))
    chosen = near[np.random.default_rng(1).permutation(len(near))]

    def with_value(value: float, places: np.ndarray) -> np.ndarray:
        copy = image.copy()
        copy[tuple(places.T)] = value * TISSUE
        return copy

    return {
        "plain": image,
        "hot": with_value(100, chosen[:1]),
        "hotter": with_value(1e4, chosen[:1]),
        "negative": with_value(-1e4, chosen[:4]),
        "many": with_value(1e4, chosen[: round(1e-3 * voxels)]),
        "rim": with_value(10, near[: round(0.02 * voxels)]),
        # Not beyond what bright tissue reaches, so it counts: single edges change by more.
        "fat": with_value(4, near[: round(0.02 * voxels)]),
    }


def stack() -> np.ndarray:
    return body((64, 56, 2))


def volume() -> np.ndarray:
    return body((44, 16, 16))


def series() -> np.ndarray:
    return make_series((20, 14, 11), sigma=0.05).noisy


@pytest.mark.parametrize(
    ("study", "overlays", "make"),
    [
        ("micro_mri_denoise", [], stack),
        ("micro_mri_denoise", ["apddm"], stack),
        ("gan3d_sr_denoise", [], volume),
        ("dwi_vae", [], series),
    ],
)
def test_far_voxels_change_by_less_than_a_hundredth(
    study: str, overlays: list[str], make: Any, tmp_path: Path
) -> None:
    images = disturbed(make())
    for name, image in images.items():
        path = tmp_path / "in" / f"{name}.nii.gz"
        path.parent.mkdir(exist_ok=True)
        if image.ndim == 4:
            save_series(path, image)
        else:
            affine = np.diag([0.2, 0.2, 0.6, 1.0])
            nib.save(nib.Nifti1Image(image.astype(np.float32), affine), path)
    settings = {"input": str(tmp_path / "in"), "output_dir": str(tmp_path / "out")}
    run_bundle(BUNDLES / study, ["inference", *overlays], settings | {"device": "cpu"})

    def restored(name: str) -> np.ndarray:
        return np.asarray(nib.load(tmp_path / "out" / f"{name}_restored.nii.gz").dataobj)

    calm = restored("plain")
    factor = calm.shape[0] // images["plain"].shape[0]
    far = factor * (NEAR + (0 if study == "dwi_vae" else REACH))
    for name in images:
        change = np.abs(restored(name) - calm)[far:]
        worst = change.max()
        assert worst < 0.01 * np.median(calm[calm > 0.5 * TISSUE]), name
        if name.startswith("hot"):
            assert restored(name).max() > 50 * TISSUE, "it must stay visible"
