"""The error that a user is meant to read."""

from __future__ import annotations

__all__ = ["InputError"]


class InputError(ValueError):
    """A user's input or setting cannot be used.

    The message is one line: the fault, its place and the remedy. The command line prints it without
    a traceback and ends with a non-zero exit code.
    """
