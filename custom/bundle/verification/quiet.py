"""Run a workflow without output, and restore the state of this process."""

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
    """Suppress logs, progress bars and prints of a run; restore the import path."""
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
