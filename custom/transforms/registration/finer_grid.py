"""A grid of other voxels over the field of view of an image."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from custom.setting_checks import check_above_zero

__all__ = ["FinerGridd"]


class FinerGridd(MapTransform):
    """Add an empty image whose voxels fill the box of another one, as a target of resampling.

    Its voxels are as near to the wanted size as whole numbers of them allow, and its axes are those
    of the image.

    Args:
        keys: Images with an affine.
        spacing: Wanted size along each axis of the image, in millimetres.
        name: Key of the empty image, uint8.

    Shape:
        ``(1, X, Y, Z)`` in and out.

    Raises:
        ValueError: If a size is not positive.
    """

    def __init__(self, keys: KeysCollection, spacing: Sequence[float], name: str = "grid") -> None:
        super().__init__(keys)
        for size in spacing:
            check_above_zero("spacing", size)
        self.spacing, self.name = tuple(spacing), name

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add the grids."""
        result = dict(data)
        for key in self.key_iterator(result):
            image = data[key]
            affine = np.asarray(image.affine, dtype=np.float64)
            wide = np.array(image.shape[1:]) * np.linalg.norm(affine[:3, :3], axis=0)
            shape = np.maximum(np.rint(wide / self.spacing), 1).astype(int)
            ratio = np.array(image.shape[1:]) / shape
            # Voxel i lies at ratio (i + 1/2) - 1/2 of the image's grid.
            placed = affine @ nib.affines.from_matvec(np.diag(ratio), (ratio - 1) / 2)
            empty = torch.zeros((1, *shape.tolist()), dtype=torch.uint8)
            result[self.name] = MetaTensor(empty, affine=torch.from_numpy(placed))
        return result
