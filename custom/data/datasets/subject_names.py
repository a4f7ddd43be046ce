"""Names of people and animals: which of them are one subject's."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

__all__ = [
    "comparison_of",
    "groups_of",
    "has_session",
    "numbers_in",
    "pattern_of",
    "stem_of",
    "subject_key",
    "without_session",
]

Sortable = TypeVar("Sortable", str, Path)


def _words(*expressions: str) -> re.Pattern[str]:
    """Return a pattern for words of their own, between separators or the ends of a name."""
    return re.compile(rf"(?<![^\W_])(?:{'|'.join(expressions)})(?![^\W_])")


# How a scan was made: 7T, 0.55T, T1w, 3DT1, FLAIR.
_MEASUREMENT = _words(
    r"(?:\d+\.)?\d{1,2}t",
    r"(?:[23]d[\W_]?)?(?:t[12](?:w|star)?|pdw|flair|mp2?[\W_]?rage)",
    r"swi|dwi|dti|bold|asl|tof|mri",
)
# When it was made: d7, ses-02, MR1, 2024-01-05, 20240105T1015.
_TIME = _words(
    r"(?:ses|session|d|day|w|wk|weeks?|month|visit|tp|timepoint|scan|run|rep|mr)[\W_]?\d+",
    r"pre|post|baseline|followup",
    r"(?:19|20)\d\d[\W_]?(?:0[1-9]|1[0-2])[\W_]?(?:0[1-9]|[12]\d|3[01])(?:t?\d{4,})?",
    r"(?:0[1-9]|[12]\d|3[01])[.-](?:0[1-9]|1[0-2])[.-](?:19|20)\d\d",
)


def subject_key(name: object) -> str:
    """Return the form in which names of subjects are compared, wherever they are.

    >>> subject_key(" KO_12 D1")
    'ko-12-d1'
    """
    text = unicodedata.normalize("NFC", str(name)).casefold()
    return re.sub(r"[\W_]+", "-", text).strip("-")


def _without_measurement(name: object) -> str:
    """Return a name's key without words for a field strength or a sequence."""
    return subject_key(_MEASUREMENT.sub(" ", str(name).casefold()))


def without_session(name: object) -> str:
    """Return a name's key without words for a time, a field strength or a sequence.

    >>> without_session("KO-12 d1"), without_session("7T_anna_20240105"), without_session("d1")
    ('ko-12', 'anna', 'd1')
    """
    key = _without_measurement(name)
    return subject_key(_TIME.sub(" ", key)) or key or subject_key(name)


def has_session(name: object) -> bool:
    """Return True if a name has a word for a time, a field strength or a sequence."""
    key = subject_key(name)
    return any(words.search(key) is not None for words in (_TIME, _MEASUREMENT))


def stem_of(name: object) -> str:
    """Return what stands before a name's first word for a time, where a subject mostly stands.

    >>> stem_of("KO-12_d1_left"), stem_of("OAS1_0001_MR1"), stem_of("20240105_anna")
    ('ko-12', 'oas1-0001', 'anna')
    """
    return subject_key(_TIME.split(_without_measurement(name))[0]) or without_session(name)


def comparison_of(names: Iterable[str]) -> Callable[[str], str]:
    """Return the key that tells whose the names are.

    It is :func:`stem_of`, unless that is one for all names: ``head`` in ``head_2024-01-05_a`` and
    ``head_2024-01-05_b`` is no subject. Names that differ by words for a time alone are of one.
    """
    return stem_of if len(set(map(stem_of, names))) > 1 else without_session


def pattern_of(groups: Iterable[Sequence[str]], key: Callable[[str], str]) -> str | None:
    r"""Return a regular expression for the subject of each group of names, if one fits all.

    >>> pattern_of([["KO-12_d1", "KO-12_d7"]], stem_of), pattern_of([["1_T1", "1_T2"]], stem_of)
    ('(KO-\\d+)', '(?:^|/)(\\d+)')
    """
    subjects: dict[str, str | None] = {}
    for group in groups:
        words = r"[\W_].*?".join(map(re.escape, key(group[0]).split("-")))
        found = re.search(words, group[0], re.IGNORECASE)
        subjects.update(dict.fromkeys(group, found.group() if found else None))
    exact = {re.escape(text or "").replace(r"\-", "-") for text in subjects.values()}
    for texts in ({re.sub(r"\d+", r"\\d+", text) for text in exact}, exact):
        for start in ("", "(?:^|/)"):
            pattern = f"{start}({'|'.join(sorted(texts))})"
            if all(re.findall(pattern, name)[-1:] == [text] for name, text in subjects.items()):
                return pattern
    return None


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
