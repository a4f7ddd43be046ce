"""Wrong usage: words that a command does not take, and flags without their value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["UsageError", "need_values", "no_more"]


class UsageError(Exception):
    """The command was typed wrongly."""


def no_more(words: Sequence[Any]) -> None:
    """Refuse unexpected words, before any work is done."""
    if words:
        raise UsageError(f"unexpected {' '.join(map(str, words))!r}: see --help")


def need_values(**flags: Any) -> None:
    """Refuse a flag typed without its value, which the command line reads as ``True``."""
    for flag, value in flags.items():
        if value is True:
            raise UsageError(f"--{flag} needs a value: see --help")
