"""Whether a setting of the user's is a number at all, and in its range."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

from custom.errors import InputError

__all__ = ["check_above_zero", "check_not_negative", "check_whole"]


def check_whole(name: str, value: Any, least: int) -> None:
    """Refuse what is no whole number, or too small.

    Args:
        name: The setting.
        value: What it was given.
        least: The smallest number that may be.

    Raises:
        InputError: If it is refused.

    Example:
        >>> check_whole("num_steps", 2, 2)
        >>> check_whole("num_steps", 2.5, 2)
        Traceback (most recent call last):
        custom.errors.InputError: num_steps must be a whole number, got 2.5
    """
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise InputError(f"{name} must be a whole number, got {value!r}")
    if value < least:
        raise InputError(f"{name} must be at least {least}, got {value}")


def check_above_zero(name: str, value: Any) -> None:
    """Refuse what is no finite number above 0.

    Raises:
        InputError: If it is refused.
    """
    if not _finite(value) or value <= 0:
        raise InputError(f"{name} must be positive, got {value!r}")


def check_not_negative(name: str, value: Any) -> None:
    """Refuse what is no finite number of 0 or more.

    Raises:
        InputError: If it is refused.
    """
    if not _finite(value) or value < 0:
        raise InputError(f"{name} must be 0 or more, got {value!r}")


def _finite(value: Any) -> bool:
    """Return True if a value is a finite number; what a command line gives may be text."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    return math.isfinite(value)
