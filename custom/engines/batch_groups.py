"""Several batches of a loader for one iteration."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

__all__ = ["BatchGroups"]


class BatchGroups:
    """A loader's batches in lists of ``size``; the last list of an epoch may be shorter."""

    def __init__(self, loader: Iterable[Any], size: int) -> None:
        self.loader, self.size = loader, size

    def __len__(self) -> int:
        return math.ceil(len(self.loader) / self.size)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[list[Any]]:
        batches = iter(self.loader)
        while group := list(islice(batches, self.size)):
            yield group
