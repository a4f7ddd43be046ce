"""Slices with their neighbours as channels, and the reference of the middle one."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.config import KeysCollection
from monai.transforms import MapTransform

__all__ = ["NeighbouringSlicesd"]


class NeighbouringSlicesd(MapTransform):
    """Turn short stacks into what a 2D network that sees neighbouring slices is trained on.

    Args:
        keys: Stacks whose slices become channels.
        reference_key: Stack of which the middle slice alone stays.

    Shape:
        ``(1, X, Y, S)`` with ``S`` odd; outputs ``(S, X, Y)`` and, of the reference,
        ``(1, X, Y)``.

    Raises:
        ValueError: At the call, if a stack has several channels or an even number of slices.
    """

    def __init__(self, keys: KeysCollection = "image", reference_key: str = "label") -> None:
        super().__init__(keys)
        self.reference_key = reference_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Rearrange the stacks."""
        result = dict(data)
        for key in (*self.key_iterator(result), self.reference_key):
            stack = data[key]
            if stack.ndim != 4 or len(stack) != 1 or stack.shape[-1] % 2 == 0:
                raise ValueError(f"{key} must be (1, X, Y, odd number), got {tuple(stack.shape)}")
            slices = stack[0].movedim(-1, 0)
            middle = len(slices) // 2
            is_reference = key == self.reference_key
            result[key] = slices[middle : middle + 1] if is_reference else slices
        return result
