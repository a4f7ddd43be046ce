"""The result of a check of a bundle, and how a check runs without output."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from custom.bundle.error_line import error_line

__all__ = ["CheckFailed", "CheckResult", "one_line", "quiet"]

_LONGEST = 400


class CheckFailed(Exception):  # noqa: N818  (reads as a verdict: `raise CheckFailed(...)`)
    """A bundle does not pass a check; the message is one line with fault, place and remedy."""


@dataclass(frozen=True)
class CheckResult:
    """The result of one check; ``message`` is one line with the fault, empty for a pass."""

    check_id: str
    passed: bool
    message: str
    seconds: float


def one_line(error: BaseException) -> str:
    """Return an exception as one bounded line."""
    named = " ".join(str(error).split()) if isinstance(error, CheckFailed) else error_line(error)
    return named if len(named) <= _LONGEST else named[: _LONGEST - 3] + "..."


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress logs, progress bars and prints of a run; restore the import path."""
    # A workflow of MONAI puts its bundle on the import path, where it would stay.
    path = list(sys.path)
    sink = io.StringIO()
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            contextlib.redirect_stdout(sink),
            contextlib.redirect_stderr(sink),
            warnings.catch_warnings(),
        ):
            # MONAI warns for every config that it can hold code; these are the bundle's own.
            warnings.filterwarnings("ignore", message="parsing config_file")
            yield
    finally:
        logging.disable(before)
        sys.path[:] = path
