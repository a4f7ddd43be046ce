"""Separate a restoration from the maps of its deviations."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from monai.config import KeysCollection
from monai.transforms import MapTransform
from monai.utils import ensure_tuple

__all__ = ["SplitDeviationsd"]


class SplitDeviationsd(MapTransform):
    """Take the channels after the first, deviations of various kinds, off a restoration.

    An image without them does not change.

    Args:
        keys: The restoration; one key.
        name: Key of the deviations: ``spread``, or ``uncertainty`` where they were measured to be
            as large as the errors; None drops them. A list names several, in the order of the
            channels.
        reference_key: Key of an image with as many channels as the restoration; 1 without it.

    Shape:
        ``(C, *spatial)`` to ``((1 + names) C, *spatial)``; outputs ``(C, *spatial)``.

    Raises:
        ValueError: If ``keys`` is more than one key, or at the call if the channels are no whole
            number of C, or more than there are names.
    """

    def __init__(
        self,
        keys: KeysCollection = "pred",
        name: str | Sequence[str | None] | None = None,
        reference_key: str | None = None,
    ) -> None:
        super().__init__(keys)
        if len(ensure_tuple(keys)) != 1:
            raise ValueError(f"keys must be one key, since there is one map, got {keys}")
        self.names = [name] if name is None or isinstance(name, str) else list(name)
        self.reference_key = reference_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Part the channels."""
        result = dict(data)
        for key in self.key_iterator(result):
            image = data[key]
            count = 1 if self.reference_key is None else len(data[self.reference_key])
            allowed = [count * parts for parts in range(1, 2 + len(self.names))]
            if len(image) not in allowed:
                raise ValueError(
                    f"{key} must have {' or '.join(map(str, allowed))} channels, got {len(image)}"
                )
            result[key] = image[:count]
            for start, name in zip(allowed, self.names, strict=False):
                if name is not None and start < len(image):
                    result[name] = image[start : start + count]
        return result
