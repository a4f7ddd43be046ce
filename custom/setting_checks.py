"""Checks of a user's settings: numbers and their ranges, words."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

__all__ = [
    "check_above_zero",
    "check_bounds",
    "check_choice",
    "check_not_negative",
    "check_share",
    "check_whole",
]


def check_whole(name: str, value: Any, least: int) -> None:
    """Refuse a value that is no whole number, or too small.

    Args:
        name: Name of the setting.
        value: Its value.
        least: The smallest number that is allowed.

    Raises:
        ValueError: If it is refused.

    Example:
        >>> check_whole("num_steps", 2, 2)
        >>> check_whole("num_steps", 2.5, 2)
        Traceback (most recent call last):
        ValueError: num_steps must be a whole number, got 2.5
    """
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise ValueError(f"{name} must be a whole number, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")


def check_choice(name: str, value: Any, choices: Iterable[Any]) -> None:
    """Raise ``ValueError`` unless a value is one of several."""
    known = tuple(choices)
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(map(str, known))}, got {value!r}")


def check_above_zero(name: str, value: Any) -> None:
    """Raise ``ValueError`` unless a value is a finite number above 0."""
    if not _finite(value) or value <= 0:
        raise ValueError(f"{name} must be positive, got {value!r}")


def check_not_negative(name: str, value: Any) -> None:
    """Raise ``ValueError`` unless a value is a finite number of 0 or more."""
    if not _finite(value) or value < 0:
        raise ValueError(f"{name} must be 0 or more, got {value!r}")


def check_share(name: str, value: Any) -> None:
    """Raise ``ValueError`` unless a value is a number between 0 and 1."""
    if not _finite(value) or not 0 <= value <= 1:
        raise ValueError(f"{name} must be between 0 and 1, got {value!r}")


def check_bounds(lowest: Any, highest: Any) -> None:
    """Raise ``ValueError`` unless two bounds are finite numbers above 0, and in order."""
    check_above_zero("lowest", lowest)
    check_above_zero("highest", highest)
    if lowest >= highest:
        raise ValueError(f"lowest must be below highest, got {lowest} and {highest}")


def _finite(value: Any) -> bool:
    """Return True if a value is a finite number; a value from the command line may be text."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    return math.isfinite(value)
