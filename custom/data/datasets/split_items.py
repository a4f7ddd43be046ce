"""The scans of one split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from custom.errors import InputError

__all__ = ["split_items"]


def split_items(
    datalist: Mapping[str, Sequence[dict[str, Any]]], split: str
) -> list[dict[str, Any]]:
    """Return the scans of a split.

    Args:
        datalist: Lists of scans, as ``custom.data.datasets.datalist.load_datalist`` gives them.
        split: ``training``, ``validation`` or ``test``.

    Raises:
        InputError: If there is no such split, or it holds no scan.
    """
    if split not in datalist:
        raise InputError(f"split {split!r} is unknown: choose one of {', '.join(datalist)}")
    items = list(datalist[split])
    if not items:
        filled = [name for name, scans in datalist.items() if scans]
        raise InputError(f"split {split!r} holds no scan: choose one of {', '.join(filled)}")
    return items
