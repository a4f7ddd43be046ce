"""Let a workflow run without a word, and leave this process as it was."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import warnings
from collections.abc import Iterator

__all__ = ["quiet"]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep logs, progress bars and prints of a run to itself; give the import path back."""
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
