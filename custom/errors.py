"""The errors that a user is meant to read."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from difflib import get_close_matches

__all__ = [
    "InputError",
    "Refusal",
    "causes",
    "did_you_mean",
    "machine_fault",
    "message_of",
    "nearest",
]

_LONGEST = 400  # characters of a message
_WORDS = {
    errno.ENOSPC: "disk full: free some space",
    errno.EDQUOT: "disk full: free some space",
    errno.EACCES: "permission denied: choose another place, or ask for the right to it",
    errno.EPERM: "permission denied: choose another place, or ask for the right to it",
    errno.EROFS: "lies on a read-only file system: choose another place",
    errno.ENAMETOOLONG: "the name is too long: give a shorter one",
    errno.ENOENT: "no such file or folder",
    errno.ENOTDIR: "a part of this path is a file, not a folder",
    errno.EMFILE: "too many open files: raise the limit (ulimit -n)",
}


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


def nearest(name: object, known: Iterable[object]) -> str | None:
    """Return the known name that a misspelt one most resembles, or None.

    >>> nearest("inptu", ["input", "output_dir"]), nearest("age", ["image"])
    ('input', None)
    """
    names = {str(other).casefold(): str(other) for other in known}
    word = str(name).casefold()
    swapped = [other for other in names if sorted(other) == sorted(word)]
    close = swapped or get_close_matches(word, names, n=1, cutoff=0.8)
    return names[close[0]] if close else None


def did_you_mean(name: object, known: Iterable[object]) -> str:
    """Return the known name that a misspelt one resembles, as the end of a message, or nothing.

    >>> did_you_mean("validaton", ["training", "validation"])
    " (did you mean 'validation'?)"
    """
    like = nearest(name, known)
    return f" (did you mean {like!r}?)" if like else ""


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and its chain of causes; ``raise ... from None`` ends the chain."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ if link.__suppress_context__ else link.__context__


def message_of(error: BaseException) -> str:
    """Return an exception's message in one line."""
    return " ".join(str(error).split())[:_LONGEST]


def machine_fault(error: BaseException) -> str | None:
    """Return what the file system or the memory refused, in words; None for any other error."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return f"out of memory: {message_of(error) or 'close other programs'}"
    if isinstance(error, OSError) and error.errno is not None:
        words = _WORDS.get(error.errno, str(error.strerror))
        return f"{error.filename or 'writing or reading'}: {words}"
    return None
