"""Map the range of a brain's intensities to 0 to 1, and back."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from custom.physics.brain_range import brain_range

__all__ = ["ScaleToBrainRanged", "UnscaleFromBrainRanged"]


class ScaleToBrainRanged(MapTransform):
    r"""Clipped min-max normalisation, and 0 outside the brain.

    .. math:: y = (x - l) / (h - l)

    with the 1st and 99th percentiles ``l`` and ``h`` of the brain. Only the range is clipped:
    values above 1 stay.

    Args:
        keys: Images to normalise, each by its own range.
        mask_key: The brain.

    Shape:
        Images and mask: ``(1, *spatial)``. The range is stored under ``f"{key}_range"``: ``(2,)``.

    Raises:
        ValueError: At the call, of an image that has no range,
            see :func:`~custom.physics.brain_range.brain_range`.

    Source:
        docs/methods/brain_3t7t_sr.md, "Preparation".
    """

    def __init__(self, keys: KeysCollection, mask_key: str = "mask") -> None:
        super().__init__(keys)
        self.mask_key = mask_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Normalise the images."""
        result = dict(data)
        mask = data[self.mask_key]
        for key in self.key_iterator(result):
            low, high = brain_range(data[key], mask)
            result[key] = (data[key] - low) / (high - low) * (mask > 0)
            result[f"{key}_range"] = torch.tensor([low, high])
        return result


class UnscaleFromBrainRanged(MapTransform):
    """Give images back the intensities that :class:`ScaleToBrainRanged` took; 0 stays outside.

    Args:
        keys: Images of the brain.
        range_key: Key of the range.
        mask_key: The brain.

    Shape:
        Images and mask: ``(1, *spatial)``.
    """

    def __init__(self, keys: KeysCollection, range_key: str, mask_key: str = "mask") -> None:
        super().__init__(keys)
        self.range_key = range_key
        self.mask_key = mask_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Scale the images."""
        result = dict(data)
        low, high = torch.as_tensor(data[self.range_key]).tolist()
        for key in self.key_iterator(result):
            mask = torch.as_tensor(data[self.mask_key], device=data[key].device) > 0
            result[key] = (data[key] * (high - low) + low) * mask
        return result
