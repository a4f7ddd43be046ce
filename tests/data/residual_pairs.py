"""Training pairs of random numbers, and a small bank of what lies between them."""

import numpy as np
import torch

from custom.data.datasets import residual_bank
from custom.data.datasets.residual_bank import ResidualBank

MOMENTS = torch.tensor([0.5, 2.0])


def pair(shape=(20, 24), index=0, **changes):
    rng = np.random.default_rng(index)
    item = {
        "image": torch.from_numpy(rng.normal(size=(1, *shape)).astype(np.float32)),
        "label": torch.from_numpy(rng.normal(size=(1, *shape)).astype(np.float32)),
        "image_moments": MOMENTS,
        "scan": "mouse01_axial_head-thorax",
        "slice": index,
    } | changes
    return {key: value for key, value in item.items() if value is not None}


def small_bank(folder, windows=10, size=8, **options):
    """A bank whose limit has room for just so many windows."""
    entry = residual_bank._ENTRY_BYTES + 2 * size**2
    limit = (residual_bank._HEAD_BYTES + windows * entry + 1) / 1e6
    return ResidualBank(folder / "residuals.zarr.zip", size, limit, **options)
