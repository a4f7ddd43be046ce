"""A data loader that prepares the next batch while the present one is used."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from monai.data import DataLoader

__all__ = ["ReadAheadLoader"]

_END = object()


class ReadAheadLoader(DataLoader):
    """Prepare the next batch in a thread; order and content are those of MONAI's DataLoader.

    MONAI's ThreadDataLoader does so too, but an item that cannot be read ends its epoch in silence,
    and a process that ends while its thread computes is aborted (SIGABRT). Here the error of an
    item is raised where the batch is asked for, and the thread ends before the process does.

    Args:
        args: Those of ``monai.data.DataLoader``.
        kwargs: Those of ``monai.data.DataLoader``.
    """

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # a generator, not torch's class
        """Yield the batches."""
        batches = super().__iter__()
        with ThreadPoolExecutor(1, "read-ahead") as thread:
            coming = thread.submit(next, batches, _END)
            while (batch := coming.result()) is not _END:
                coming = thread.submit(next, batches, _END)
                yield batch
