"""Take off the shift that registration has left between two images."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from monai.utils import convert_to_dst_type
from numpy.typing import NDArray
from scipy import ndimage

from custom.physics.monotone_map import fit_monotone_map

__all__ = ["RefinedShiftd", "remaining_shift"]

Array = NDArray[Any]

_ROUNDS = 4


class RefinedShiftd(MapTransform):
    """Move images by the part of a voxel that brings them nearest to a reference.

    Args:
        keys: Images, moved by cubic splines.
        reference_key: What they are brought to; it may have another contrast.
        mask_key: The brain, outside of which moved images are 0.
        given: False: nothing is done.

    Shape:
        ``(1, X, Y, Z)``. The shift is stored under ``f"{key}_shift"``: ``(3,)``, in voxels.

    Source:
        docs/methods/brain_3t7t_sr.md, "Evaluation".
    """

    def __init__(
        self, keys: KeysCollection, reference_key: str, mask_key: str = "mask", given: bool = True
    ) -> None:
        super().__init__(keys)
        self.reference_key, self.mask_key, self.given = reference_key, mask_key, given

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Move the images."""
        result = dict(data)
        if not self.given:
            return result
        reference, mask = (np.asarray(data[key])[0] for key in (self.reference_key, self.mask_key))
        for key in self.key_iterator(result):
            image = np.asarray(data[key])[0]
            shift = remaining_shift(image, reference, mask > 0)
            moved = ndimage.shift(image, shift, order=3, mode="nearest") * (mask > 0)
            made = torch.from_numpy(np.asarray(moved, image.dtype)[None])
            result[key] = convert_to_dst_type(made, data[key])[0]
            result[f"{key}_shift"] = shift
        return result


def remaining_shift(image: Array, reference: Array, mask: NDArray[np.bool_]) -> Array:
    """Return the shift that brings an image nearest to a reference of another contrast, in voxels.

    The image gets the contrast of the reference by the best monotone curve; then Gauss-Newton
    steps, from 0, lower the squared error inside the brain. For shifts of a voxel or two.

    Shape:
        All ``(X, Y, Z)``; output ``(3,)``.

    Raises:
        ValueError: If the brain has no voxel that is two voxels inside.
    """
    inside = ndimage.binary_erosion(mask, iterations=2)
    if not inside.any():
        raise ValueError("the brain is too small to refine its registration")
    shift = np.zeros(3)
    for _ in range(_ROUNDS):
        moved = ndimage.shift(image, shift, order=3, mode="nearest")
        mapped = fit_monotone_map(moved[inside], reference[inside])(moved)
        slopes = np.stack([slope[inside] for slope in np.gradient(mapped)], axis=1)
        left = (mapped - reference)[inside]
        step, *_ = np.linalg.lstsq(slopes.astype(np.float64), left.astype(np.float64))
        shift += np.clip(step, -1, 1)
    return shift
