"""The errors that a user is meant to read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

__all__ = ["InputError", "Refusal", "causes", "did_you_mean", "nearest"]


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
