"""Correct restored volumes where they contradict the measured ones."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from monai.utils import convert_to_dst_type
from torch import Tensor

from custom.physics.data_consistency import check_consistency, data_consistency
from custom.physics.downsampling import Degradation

__all__ = ["DataConsistencyd"]


class DataConsistencyd(MapTransform):
    """Apply :func:`custom.physics.data_consistency.data_consistency` to restored volumes.

    Args:
        keys: Restored volumes.
        measured_key: The volume that they were restored from, in the same unit.
        strength: 0 to 1; 0 leaves them as they are.
        degradation: See :func:`custom.physics.data_consistency.data_consistency`.
        scale: See :func:`custom.physics.data_consistency.data_consistency`.
        max_gain: See :func:`custom.physics.data_consistency.data_consistency`.
        allow_missing_keys: Whether ``keys`` may be absent.

    Shape:
        Restored: ``(C, scale D, scale H, scale W)``; measured: ``(C, D, H, W)``.

    Raises:
        InputError: If ``strength`` is not between 0 and 1, or ``max_gain`` not positive.
    """

    def __init__(
        self,
        keys: KeysCollection,
        measured_key: str = "image",
        strength: float = 0.0,
        degradation: Degradation = "linear",
        scale: int = 2,
        max_gain: float = 10.0,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        check_consistency(strength, max_gain)
        self.measured_key = measured_key
        self.strength = strength
        self.degradation: Degradation = degradation
        self.scale = scale
        self.max_gain = max_gain

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Correct the volumes towards the measured ones."""
        result = dict(data)
        if self.strength == 0:
            return result
        measured = torch.as_tensor(data[self.measured_key]).as_subclass(Tensor)
        for key in self.key_iterator(result):
            restored = data[key]
            plain = torch.as_tensor(restored).as_subclass(Tensor)
            held = data_consistency(
                plain[None],
                measured[None],
                self.strength,
                self.degradation,
                self.scale,
                self.max_gain,
            )
            result[key] = convert_to_dst_type(held[0], restored)[0]
        return result
