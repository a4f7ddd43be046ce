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

__all__ = ["LocalChanged", "MonotoneMapd"]


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


class LocalChanged(MapTransform):
    """What synthesis added to an image beyond a change of contrast.

    .. math:: y - f(x)

    with the monotone curve ``f`` that brings the image ``x`` nearest to the result ``y``.

    Args:
        keys: The result, ``y``.
        reference_key: ``x``.
        mask_key: The brain; the change is 0 outside.
        name: Key of the change.
        given: False: nothing is done.

    Shape:
        Images: ``(1, *spatial)``.
    """

    def __init__(
        self,
        keys: KeysCollection,
        reference_key: str,
        mask_key: str = "mask",
        name: str = "localchange",
        given: bool = True,
    ) -> None:
        super().__init__(keys)
        self.reference_key, self.mask_key, self.name = reference_key, mask_key, name
        self.given = given

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add the change."""
        result = dict(data)
        if not self.given:
            return result
        reference, inside = (
            np.asarray(data[self.reference_key]),
            np.asarray(data[self.mask_key]) > 0,
        )
        for key in self.key_iterator(result):
            made = np.asarray(torch.as_tensor(data[key]).cpu())
            curve = fit_monotone_map(reference[inside], made[inside])
            change = torch.from_numpy((made - curve(reference)) * inside)
            result[self.name] = convert_to_dst_type(change, data[key])[0]
        return result
