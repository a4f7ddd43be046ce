"""Specifications of the bundles' datasets."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from custom.data.datasets.dataset_writer import DatasetKind, Placed, StoredImage
from custom.physics.downsampling import downsample, low_affine

__all__ = ["DIFFUSION_SERIES", "PAIRED_STACKS", "SAME_GRID_VOLUMES", "VOLUMES", "volume_pair"]

_FINE = (2, 2, 1)

PAIRED_STACKS = DatasetKind(
    {
        "image": StoredImage("images"),
        "label": StoredImage("labels", scale=_FINE),
        "mask": StoredImage("masks", np.uint8, _FINE),
    },
    slices="float32",
)
"""Fast scans ``(X, Y, S)`` and default scans ``(2X, 2Y, S)``; mask: 1 in the region of interest, 2
in the background."""

VOLUMES = DatasetKind(
    {
        "image": StoredImage("images", np.int16),
        "label": StoredImage("labels", np.int16, scale=None),
    }
)
"""Volumes in scanner units, and partners of half the resolution, see :func:`volume_pair`."""

SAME_GRID_VOLUMES = DatasetKind(
    {"image": StoredImage("images", np.int16), "label": StoredImage("labels", np.int16)}
)
"""Degraded volumes and their references on one grid, in scanner units."""

FIELD_PAIRS = DatasetKind(
    {
        "image": StoredImage("images"),
        "label": StoredImage("labels"),
        "mask": StoredImage("masks", np.uint8),
        "segmentation": StoredImage("segmentations", np.uint8),
    }
)
"""3 T scans and 7 T references on the grid of these, by the range of the brain; 0 outside of it."""

DIFFUSION_SERIES = DatasetKind(
    {
        "image": StoredImage("images"),
        "label": StoredImage("labels"),
        "mask": StoredImage("masks", np.uint8),
        "tensor": StoredImage("tensors", values=6),
        "s0": StoredImage("s0"),
    },
    series=True,
)
"""Noisy and noiseless series ``(X, Y, Z, M)``, tensors in µm²/ms, S0 and the object's mask."""


def volume_pair(label: NDArray[Any], affine: NDArray[np.float64]) -> dict[str, Placed]:
    """Return a volume in whole numbers and its partner at half the resolution.

    The partner is made by antialiased linear downsampling, on the corresponding grid. Training and
    evaluation read only the volume and downsample it themselves.

    Args:
        label: ``(X, Y, Z)`` in scanner units.
        affine: ``(4, 4)``, voxel index to RAS millimetres.

    Returns:
        ``image`` and ``label``, int16, each with its affine.

    Raises:
        ValueError: If the volume is not three-dimensional, not finite or beyond int16.
    """
    limit = np.iinfo(np.int16).max
    if label.ndim != 3 or not np.isfinite(label).all() or np.abs(label).max() > limit:
        raise ValueError(f"label must be (X, Y, Z), finite and at most {limit}")
    high = np.round(label).astype(np.int16)
    # Of the rounded volume, since training downsamples what is stored.
    tensor = torch.from_numpy(high.astype(np.float32))[None, None]
    low = downsample(tensor, "linear")[0, 0].round().to(torch.int16).numpy()
    coarse = low_affine(torch.from_numpy(affine), "linear").numpy()
    return {"image": (low, coarse), "label": (high, affine)}
