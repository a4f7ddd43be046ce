"""Checks of a user's settings: numbers, and their ranges."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

from custom.errors import InputError

__all__ = ["check_above_zero", "check_not_negative", "check_whole"]


def check_whole(name: str, value: Any, least: int) -> None:
    """Refuse a value that is no whole number, or too small.

    Args:
        name: Name of the setting.
        value: Its value.
        least: The smallest number that is allowed.

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
    """Refuse a value that is no finite number above 0.

    Raises:
        InputError: If it is refused.
    """
    if not _finite(value) or value <= 0:
        raise InputError(f"{name} must be positive, got {value!r}")


def check_not_negative(name: str, value: Any) -> None:
    """Refuse a value that is no finite number of 0 or more.

    Raises:
        InputError: If it is refused.
    """
    if not _finite(value) or value < 0:
        raise InputError(f"{name} must be 0 or more, got {value!r}")


def _finite(value: Any) -> bool:
    """Return True if a value is a finite number; a value from the command line may be text."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    return math.isfinite(value)
