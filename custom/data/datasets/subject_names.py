"""Names of people and animals: which of them are one subject's."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

__all__ = ["groups_of", "has_session", "numbers_in", "stem_of", "subject_key", "without_session"]

Sortable = TypeVar("Sortable", str, Path)

# A time, a repetition or a contrast, as a word of its own: -d7, _ses-02, _T1w.
_SESSION = re.compile(
    r"(?<![^\W_])(?:ses|session|d|day|w|wk|weeks?|month|visit|tp|timepoint|scan|run|rep)[\W_]?\d+"
    r"(?![^\W_])|(?<![^\W_])(?:pre|post|baseline|followup|t[12]w?)(?![^\W_])"
)


def subject_key(name: object) -> str:
    """Return the form in which names of subjects are compared, wherever they are.

    >>> subject_key(" KO_12 D1")
    'ko-12-d1'
    """
    text = unicodedata.normalize("NFC", str(name)).casefold()
    return re.sub(r"[\W_]+", "-", text).strip("-")


def without_session(name: object) -> str:
    """Return a name's key without words for a time, a repetition or a contrast.

    >>> without_session("KO-12 d1"), without_session("anna_week2"), without_session("d1")
    ('ko-12', 'anna', 'd1')
    """
    key = subject_key(name)
    return subject_key(_SESSION.sub("", key)) or key


def has_session(name: object) -> bool:
    """Return True if a name has a word for a time, a repetition or a contrast."""
    return _SESSION.search(subject_key(name)) is not None


def stem_of(name: object) -> str:
    """Return the part of a name that two scans of one subject share: up to its first number.

    >>> stem_of("m3-w2") == stem_of("m3-x7"), stem_of("mouse1") == stem_of("mouse2")
    (True, False)
    """
    key = without_session(name)
    found = re.match(r"\D*\d+", key)
    return found.group() if found else key


def numbers_in(name: object) -> list[int]:
    """Return all numbers in a name.

    >>> numbers_in("Study-5-m01")
    [5, 1]
    """
    return [int(digits) for digits in re.findall(r"\d+", subject_key(name))]


def groups_of(
    values: Iterable[Sortable], key: Callable[[Sortable], object]
) -> list[list[Sortable]]:
    """Return the different values that have one key, in groups of two or more.

    >>> groups_of(["a1", "b1", "a2", "a1"], lambda name: name[0])
    [['a1', 'a2']]
    """
    groups: dict[object, list[Sortable]] = {}
    for value in sorted(set(values)):
        groups.setdefault(key(value), []).append(value)
    return [group for group in groups.values() if len(group) > 1]
