"""Separate a restoration from the map of its uncertainty."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.config import KeysCollection
from monai.transforms import MapTransform
from monai.utils import ensure_tuple

__all__ = ["SplitUncertaintyd"]


class SplitUncertaintyd(MapTransform):
    """Make the second half of the channels, the deviations of the first, a separate image.

    An image without that half has no uncertainty and does not change.

    Args:
        keys: The restoration; one key.
        uncertainty_key: Key that the second half goes to.
        reference_key: Key of an image with as many channels as the restoration; 1 without it.
        allow_missing_keys: Whether ``keys`` may be absent.

    Shape:
        ``(C, *spatial)`` or ``(2 C, *spatial)``; outputs ``(C, *spatial)``.

    Raises:
        ValueError: If ``keys`` is more than one key, or at the call if an image has neither C nor
            2 C channels.
    """

    def __init__(
        self,
        keys: KeysCollection = "pred",
        uncertainty_key: str = "uncertainty",
        reference_key: str | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if len(ensure_tuple(keys)) != 1:
            raise ValueError(f"keys must be one key, since uncertainty_key is one, got {keys}")
        self.uncertainty_key = uncertainty_key
        self.reference_key = reference_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Part the channels."""
        result = dict(data)
        for key in self.key_iterator(result):
            image = data[key]
            count = 1 if self.reference_key is None else len(data[self.reference_key])
            if len(image) not in (count, 2 * count):
                raise ValueError(
                    f"{key} must have {count} or {2 * count} channels, got {len(image)}"
                )
            if len(image) == 2 * count:
                result[key], result[self.uncertainty_key] = image[:count], image[count:]
        return result
