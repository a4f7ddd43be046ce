"""Silence of pydicom, whose warnings quote the values that they are about."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["quiet_pydicom"]


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Keep pydicom from warning and logging: its lines may hold a name or an ID.

    What is wrong with a file that matters here is found by our own checks. Elements are decoded
    when they are first asked for, so this belongs around every use of a data set.
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
