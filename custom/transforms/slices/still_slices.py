"""Leave slices alone that a correction hardly changes."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence
from itertools import groupby
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from custom.setting_checks import check_share

__all__ = ["KeepStillSlicesd"]

logger = logging.getLogger(__name__)


class KeepStillSlicesd(MapTransform):
    r"""Give slices back as they were where their correction is small: they are judged still.

    .. math:: \mathrm{RMS}(p - y) < \mathrm{below} \cdot \mathrm{RMS}(y)

    A slice of one value, as an empty one, cannot be judged, and is given back as it was, too.

    Args:
        keys: Corrected stack; one key. Its further channels, maps of deviations, stay.
        reference_key: The stack before.
        below: Share of the slice's root mean square, at most 1; 0: no slice is judged still.

    Shape:
        ``(1, X, Y, S)``, corrected ``(C, X, Y, S)``. The item gets ``still_slices``, as
        ``"0-3, 7"``, counted from 0.

    Raises:
        ValueError: If ``below`` is no number from 0 to 1.
    """

    def __init__(
        self, keys: KeysCollection = "pred", reference_key: str = "image", below: float = 0.01
    ) -> None:
        super().__init__(keys)
        check_share("below", below)
        self.reference_key = reference_key
        self.below = below

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Put the still slices back."""
        result = dict(data)
        for key in self.key_iterator(result):
            corrected = data[key]
            before = data[self.reference_key].to(corrected.device)
            change = (corrected[:1] - before).square().mean((0, 1, 2)).sqrt()
            level = before.square().mean((0, 1, 2)).sqrt()
            constant = before.amax((0, 1, 2)) == before.amin((0, 1, 2))
            still = torch.as_tensor((change < self.below * level) | constant)
            result[key] = torch.cat([torch.where(still, before, corrected[:1]), corrected[1:]])
            numbers = still.nonzero().flatten().tolist()
            result["still_slices"] = listed = _ranges(numbers)
            if numbers:
                logger.info(
                    "%d of %d slices are judged still and given back as they were: %s",
                    len(numbers),
                    len(still),
                    listed,
                )
        return result


def _ranges(numbers: Sequence[int]) -> str:
    """Return ascending numbers as text, those in a row by the first and the last."""
    rows = (
        [number for _, number in row]
        for _, row in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])
    )
    return ", ".join(f"{row[0]}-{row[-1]}" if len(row) > 1 else str(row[0]) for row in rows)
