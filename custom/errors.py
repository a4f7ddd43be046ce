"""The errors that a user is meant to read."""

from __future__ import annotations

__all__ = ["InputError", "Refusal"]


class InputError(ValueError):
    """A user's input or setting cannot be used.

    The message is one line: the fault, its place and the remedy. The command line prints it without
    a traceback and ends with a non-zero exit code.
    """


class Refusal(InputError):  # noqa: N818 - the audit log's term
    """An input that is refused before anything is computed or written.

    Args:
        reason: A short slug for the audit log, ``missing-slices`` for example.
        message: One line: the fault, its place and the remedy. No patient attribute.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
