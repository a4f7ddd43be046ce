"""Suppress pydicom's warnings, since they quote values of the header."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["quiet_pydicom"]


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Suppress pydicom's warnings and logs: they may hold a name or an ID.

    Our own checks report the faults that matter. Elements are decoded on first access, so this must
    enclose every use of a data set.
    """
    logger = logging.getLogger("pydicom")
    before = logger.disabled
    logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"pydicom")
            yield
    finally:
        logger.disabled = before
