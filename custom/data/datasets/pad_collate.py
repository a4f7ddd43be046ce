"""Make a batch of images that may differ in size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from monai.data import pad_list_data_collate

__all__ = ["pad_collate"]


def pad_collate(batch: Sequence[Any]) -> Any:
    """Collate items, padding each image to the largest of the batch.

    MONAI's ``pad_list_data_collate``, which would leave items that are lists (several crops of
    one slice) unpadded: these are flattened first. Padding is central, with zeros.

    Args:
        batch: Items, or lists of items.

    Source:
        docs/methods/micro_mri_denoise.md, "Preparation": a batch is padded to its largest height
        and width.
    """
    nested = not isinstance(batch[0], Mapping)
    return pad_list_data_collate(list(chain.from_iterable(batch)) if nested else list(batch))
