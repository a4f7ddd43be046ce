"""Values of a header, which may be absent, empty or damaged; nothing of them is logged."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

__all__ = [
    "as_numbers",
    "code_word",
    "element_of",
    "integer",
    "numbers",
    "quiet_pydicom",
    "texts",
    "value_of",
]

_TAGS: dict[str, BaseTag] = {}  # a look-up by keyword each time takes longer than the value


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


def value_of(header: Dataset, keyword: str) -> Any:
    """Return an attribute's value; None if it is absent, empty or cannot be decoded.

    Values are decoded on first access; a text in place of a number raises then, with the text in
    the error.
    """
    element = element_of(header, keyword)
    return None if element is None or element.is_empty else element.value


def element_of(header: Dataset, keyword: str) -> DataElement | None:
    """Return an attribute; None if it is absent or cannot be decoded."""
    try:
        tag = _TAGS.get(keyword)
        if tag is None:
            tag = _TAGS.setdefault(keyword, Tag(keyword))
        return header[tag] if tag in header else None  # noqa: SIM401 - typed otherwise
    except Exception:  # of whatever kind the damage led to
        return None


def numbers(header: Dataset, keyword: str, count: int) -> NDArray[np.float64] | None:
    """Return the numbers of an attribute; None if it is absent or no such numbers."""
    return as_numbers(value_of(header, keyword), count)


def as_numbers(value: Any, count: int) -> NDArray[np.float64] | None:
    """Return a value as so many finite numbers; None if it is not."""
    if value is None:
        return None
    try:
        array = np.atleast_1d(np.asarray(value, dtype=float))
    except (TypeError, ValueError):
        return None
    # Python takes a damaged "nan" or "inf" for a number.
    return array if array.shape == (count,) and np.isfinite(array).all() else None


def integer(header: Dataset, keyword: str) -> int | None:
    """Return the whole number of an attribute; None if it is absent or none."""
    found = numbers(header, keyword, 1)
    return None if found is None else int(found[0])


def texts(header: Dataset, keyword: str) -> list[str]:
    """Return the values of an attribute that may have one, several or none."""
    value = value_of(header, keyword)
    if value is None:
        return []
    return [value] if isinstance(value, str) else [str(one) for one in value]


def code_word(header: Dataset, keyword: str, absent: str) -> str:
    """Return a code of capitals, such as ``MR``; other text is not quoted, as it may be a name."""
    found = texts(header, keyword)
    if not found:
        return absent
    return found[0] if len(found) == 1 and re.fullmatch(r"[A-Z]{2,8}", found[0]) else "unreadable"
