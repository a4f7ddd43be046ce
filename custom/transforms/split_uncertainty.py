"""Part a restoration from the map of its uncertainty."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.config import KeysCollection
from monai.transforms import MapTransform
from monai.utils import ensure_tuple

__all__ = ["SplitUncertaintyd"]


class SplitUncertaintyd(MapTransform):
    """Take a second channel, the deviation of the first, as an image of its own.

    An image of one channel has no uncertainty and stays as it is.

    Args:
        keys: The restoration; one key.
        uncertainty_key: Key that the second channel goes to.
        allow_missing_keys: Whether ``keys`` may be absent.

    Shape:
        ``(1, *spatial)`` or ``(2, *spatial)``; outputs ``(1, *spatial)``.

    Raises:
        ValueError: If ``keys`` is more than one key, or at the call if an image has neither one
            nor two channels.
    """

    def __init__(
        self,
        keys: KeysCollection = "pred",
        uncertainty_key: str = "uncertainty",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if len(ensure_tuple(keys)) != 1:
            raise ValueError(f"keys must be one key, since uncertainty_key is one, got {keys}")
        self.uncertainty_key = uncertainty_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Part the channels."""
        result = dict(data)
        for key in self.key_iterator(result):
            image = data[key]
            if len(image) not in (1, 2):
                raise ValueError(f"{key} must have one or two channels, got {len(image)}")
            if len(image) == 2:
                result[key], result[self.uncertainty_key] = image[:1], image[1:]
        return result
