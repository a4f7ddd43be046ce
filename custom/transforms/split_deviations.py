"""Separate a restoration from the map of its deviations."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.config import KeysCollection
from monai.transforms import MapTransform
from monai.utils import ensure_tuple

__all__ = ["SplitDeviationsd"]


class SplitDeviationsd(MapTransform):
    """Take the second half of the channels, the deviations of the first, off a restoration.

    An image without that half does not change.

    Args:
        keys: The restoration; one key.
        name: Key of the deviations: ``spread``, or ``uncertainty`` where they were measured to be
            as large as the errors; None drops them.
        reference_key: Key of an image with as many channels as the restoration; 1 without it.
        given: Whether the restoration has deviations; a ``name`` for none is refused before
            anything is restored.

    Shape:
        ``(C, *spatial)`` or ``(2 C, *spatial)``; outputs ``(C, *spatial)``.

    Raises:
        ValueError: If ``keys`` is more than one key, a map is named that is not given, or at the
            call if an image has neither C nor 2 C channels.
    """

    def __init__(
        self,
        keys: KeysCollection = "pred",
        name: str | None = None,
        reference_key: str | None = None,
        given: bool = True,
    ) -> None:
        super().__init__(keys)
        if len(ensure_tuple(keys)) != 1:
            raise ValueError(f"keys must be one key, since there is one map, got {keys}")
        if name is not None and not given:
            raise ValueError(
                f"{name} cannot be written: in one pass this model gives none; draw several "
                "samples, if it can, or leave --write_spread out"
            )
        self.name = name
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
            result[key] = image[:count]
            if len(image) == 2 * count and self.name is not None:
                result[self.name] = image[count:]
        return result
