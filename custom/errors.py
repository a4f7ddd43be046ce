"""The one error that a user is meant to read."""

from __future__ import annotations

__all__ = ["InputError"]


class InputError(ValueError):
    """Something that the user gave cannot be used.

    The message is one line: what is wrong, where, and how to mend it. The command line prints it
    without a traceback and ends with a non-zero exit code.
    """
