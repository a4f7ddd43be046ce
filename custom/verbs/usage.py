"""Words that a command does not take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["UsageError", "no_more"]


class UsageError(Exception):
    """The command was typed wrongly."""


def no_more(words: Sequence[Any]) -> None:
    """Refuse words that mean nothing, before any work is done."""
    if words:
        raise UsageError(f"unexpected {' '.join(map(str, words))!r}: see --help")
