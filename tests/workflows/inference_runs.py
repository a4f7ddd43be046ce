"""How tests of the inference config run it, and the scans that they run it on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import monai.bundle
import nibabel as nib
import numpy as np
import pytest

from custom.bundle.error_line import user_error
from custom.errors import InputError

BUNDLE = Path(__file__).parents[2] / "bundles" / "micro_mri_denoise"
CONFIG = BUNDLE / "configs" / "inference.yaml"
META = BUNDLE / "configs" / "metadata.json"


def restore(inputs: Any, output: Path, **overrides: Any) -> None:
    """Run the config as ``python -m monai.bundle run`` does, from any folder."""
    if isinstance(inputs, list):
        inputs = [str(path) for path in inputs]
    elif isinstance(inputs, Path):
        inputs = str(inputs)
    settings = {"config_file": str(CONFIG), "device": "cpu"} | overrides
    monai.bundle.run(
        logging_file=False,  # the bundle's own would take the log away from the test
        bundle_root=str(BUNDLE),
        input=inputs,
        output_dir=str(output),
        **settings,
    )


def refusals(inputs: Any, output: Path, **overrides: Any) -> list[str]:
    """Run the config and return the lines of the user's error that it must end with."""
    with pytest.raises(RuntimeError) as raised:
        restore(inputs, output, **overrides)
    error = user_error(raised.value)
    assert isinstance(error, InputError)
    return str(error).splitlines()


def oblique(spacing: tuple[float, float, float], flips: tuple[int, int, int]) -> np.ndarray:
    a, b = 0.4, -0.25
    first = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    second = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = first @ second @ np.diag(flips) @ np.diag(spacing)
    affine[:3, 3] = [-7.0, 3.0, 11.0]
    return affine


def blob(shape: tuple[int, ...]) -> np.ndarray:
    """An off-centre blob over noise."""
    rng = np.random.default_rng(0)
    grids = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    distance = sum(((g - 0.4 * n) / (0.15 * n + 1)) ** 2 for g, n in zip(grids, shape, strict=True))
    return (1000 * np.exp(-distance) + rng.rayleigh(5.0, shape)).astype(np.float32)


def save(path: Path, array: np.ndarray, affine: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([0.2, 0.2, 0.6, 1.0]) if affine is None else affine
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


def centroid(image: nib.Nifti1Image) -> np.ndarray:
    """World coordinates of the centre of intensity."""
    values = np.asarray(image.dataobj, dtype=np.float64)
    values = values.reshape(values.shape + (1,) * (3 - values.ndim))
    index = [np.average(grid, weights=values) for grid in np.indices(values.shape)]
    return (image.affine @ [*index, 1.0])[:3]
