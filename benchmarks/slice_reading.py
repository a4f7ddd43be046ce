"""Random slices: from Zarr, from .nii.gz, and from a volume held in memory.

Run: ``python -m benchmarks.slice_reading``
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.transforms import LoadImage

from benchmarks.measure import repeat, save
from custom.files.zarr_slices import ZarrSliceReader, write_stack

SHAPE = (300, 300, 30)  # the published 12-minute stack
DRAWS = 20


def run() -> dict[str, Any]:
    """Read the same random slices in the three ways."""
    rng = np.random.default_rng(0)
    # Smooth anatomy plus noise: pure noise would not compress, a constant would too well.
    stack = np.add.outer(np.add.outer(np.arange(300), np.arange(300)), np.zeros(30))
    stack = (stack * 20 + rng.normal(0, 300, SHAPE)).astype(np.float32)
    order = [random.Random(1).randrange(SHAPE[2]) for _ in range(DRAWS)]
    with tempfile.TemporaryDirectory() as folder:
        write_stack(Path(folder) / "a.zarr" / "image", stack, np.eye(4))
        volume = Path(folder) / "a.nii.gz"
        nib.save(nib.Nifti1Image(stack, np.eye(4)), volume)
        read_slice, read_volume = LoadImage(reader=ZarrSliceReader), LoadImage()
        cached = torch.from_numpy(np.moveaxis(stack, -1, 0).copy())
        name = f"{folder}/a.zarr/image"
        zarr = repeat(lambda: [read_slice(f"{name}#{index}") for index in order])
        memory = repeat(lambda: [cached[index].clone() for index in order])
        nifti = repeat(lambda: [read_volume(volume)[..., index] for index in order[:4]])
    figures = {
        "zarr_ms_per_slice": 1e3 * zarr.median / DRAWS,
        "nifti_ms_per_slice": 1e3 * nifti.median / 4,
        "cached_volume_ms_per_slice": 1e3 * memory.median / DRAWS,
        "nifti_over_zarr": (nifti.median / 4) / (zarr.median / DRAWS),
        "zarr_memory_mib": SHAPE[0] * SHAPE[1] * 4 / 2**20,
        "cached_volume_memory_mib": stack.nbytes / 2**20,
    }
    save("slice_reading", figures)
    return figures


if __name__ == "__main__":
    for key, value in run().items():
        print(f"{key:32s} {value:.3g}")
