"""Results of a check of a bundle."""

from __future__ import annotations

from dataclasses import dataclass

from custom.bundle.launch import user_error
from custom.errors import InputError

__all__ = ["CheckFailed", "CheckResult", "one_line"]

_LONGEST = 400


class CheckFailed(Exception):  # noqa: N818  (reads as a verdict: `raise CheckFailed(...)`)
    """A bundle does not pass a check; the message is one line with fault, place and remedy."""


@dataclass(frozen=True)
class CheckResult:
    """The result of one check.

    Attributes:
        check_id: For example ``layout.license``.
        passed: Whether the bundle passes.
        message: One line with the fault; empty for a pass.
        seconds: Time taken.
    """

    check_id: str
    passed: bool
    message: str
    seconds: float


def one_line(error: BaseException) -> str:
    """Return the first cause of an exception, or the user's error in it, as one bounded line."""
    seen: list[BaseException] = []  # a chain of causes can be circular
    link: BaseException | None = error
    while link is not None and link not in seen:
        seen.append(link)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    error = user_error(error) or seen[-1]
    text = " ".join(str(error).split())
    named = (
        text if isinstance(error, (CheckFailed, InputError)) else f"{type(error).__name__}: {text}"
    )
    return named if len(named) <= _LONGEST else named[: _LONGEST - 3] + "..."
