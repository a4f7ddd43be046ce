"""The curve of intensities alone, as an opponent of what networks synthesise."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Transform
from monai.utils import convert_to_dst_type

from custom.physics.monotone_map import MonotoneMap, fit_monotone_map

__all__ = ["MonotoneMapd"]


class MonotoneMapd(MapTransform):
    """Give images the contrast of others, by the best monotone curve over all training pairs.

    It is the same curve for all voxels and people: what is gained beyond it is no mere contrast.

    Args:
        keys: Images to map.
        items: Pairs with the brain, whose curve is fitted at the first call.
        load: Loads an item, to images ``(1, *spatial)``.
        source_key: Image of the items that has the contrast of ``keys``.
        target_key: Image that has the wanted contrast.
        mask_key: The voxels that count, and outside of which images become 0.

    Shape:
        Images: ``(1, *spatial)``.

    Source:
        docs/methods/brain_3t7t_sr.md, "What such a model can do".
    """

    def __init__(
        self,
        keys: KeysCollection,
        items: Sequence[Mapping[Hashable, Any]],
        load: Transform,
        source_key: str = "image",
        target_key: str = "label",
        mask_key: str = "mask",
    ) -> None:
        super().__init__(keys)
        self.items, self.load = items, load
        self.source_key, self.target_key, self.mask_key = source_key, target_key, mask_key

    @cached_property
    def curve(self) -> MonotoneMap:
        """The fitted curve."""
        source, target = [], []
        for item in self.items:
            pair = self.load(dict(item))
            inside = np.asarray(pair[self.mask_key]) > 0
            source.append(np.asarray(pair[self.source_key])[inside])
            target.append(np.asarray(pair[self.target_key])[inside])
        return fit_monotone_map(np.concatenate(source), np.concatenate(target))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Map the images."""
        result = dict(data)
        inside = np.asarray(data[self.mask_key]) > 0
        for key in self.key_iterator(result):
            mapped = self.curve(np.asarray(data[key])) * inside
            result[key] = convert_to_dst_type(torch.from_numpy(mapped), data[key])[0]
        return result
