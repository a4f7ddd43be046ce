"""Make the low-resolution partners of volumes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import ensure_tuple

from custom.physics.downsampling import (
    Degradation,
    check_degradation,
    crop_to_multiple,
    downsample,
    low_affine,
)

__all__ = ["DownsampleVolumed"]


class DownsampleVolumed(MapTransform):
    """Make the low-resolution partners of volumes, with their affines.

    Args:
        keys: High-resolution volumes. Planes that have no partner are left out of them, so that
            they are exactly ``scale`` times as large as their partners.
        names: Key of each partner; an existing entry is replaced.
        degradation: See :func:`custom.physics.downsampling.downsample`.
        scale: See :func:`custom.physics.downsampling.downsample`.
        allow_missing_keys: Whether ``keys`` may be absent.

    Shape:
        High: ``(C, D, H, W)``; low: ``(C, D // scale, H // scale, W // scale)``.

    Raises:
        ValueError: If ``degradation`` is unknown, ``scale < 1``, or there are not as many names as
            keys.
    """

    def __init__(
        self,
        keys: KeysCollection,
        names: KeysCollection,
        degradation: Degradation = "linear",
        scale: int = 2,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        check_degradation(degradation, scale)
        self.names = ensure_tuple(names)
        if len(self.names) != len(self.keys):
            raise ValueError(f"names must be as many as keys, got {self.names} for {self.keys}")
        self.degradation: Degradation = degradation
        self.scale = scale

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add the partners."""
        result = dict(data)
        for key, name in self.key_iterator(result, self.names):
            high = crop_to_multiple(data[key], self.scale)
            low = downsample(high.unsqueeze(0), self.degradation, self.scale).squeeze(0)
            if isinstance(high, MetaTensor):
                affine = low_affine(high.affine, self.degradation, self.scale)
                low = MetaTensor(low, meta=high.meta)
                low.affine = affine
            result[key], result[name] = high, low
        return result
