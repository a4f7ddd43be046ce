"""Let one process at a time work on a folder."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["process_lock"]

logger = logging.getLogger(__name__)


@contextmanager
def process_lock(path: str | Path) -> Iterator[None]:
    """Hold a lock file; who comes second waits until the first has left.

    The lock belongs to the open file, so that a process that is killed leaves none, and threads of
    one process exclude each other too. The file is removed at the end.

    Args:
        path: The lock file. Missing parent folders are made.
    """
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    handle = _acquire(file)
    try:
        yield
    finally:
        # Removed while it is held: who waits for it then sees that it is the lock no more.
        file.unlink(missing_ok=True)
        os.close(handle)


def _acquire(file: Path) -> int:
    """Return the descriptor of the locked file."""
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _wait(handle, file)
            if _is_still(handle, file):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _wait(handle: int, file: Path) -> None:
    """Lock the file, and say so if that takes time."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        logger.info("another process works in %s: waiting for it", file.parent)
        fcntl.flock(handle, fcntl.LOCK_EX)


def _is_still(handle: int, file: Path) -> bool:
    """Return whether the open file is the one of this name, and not one removed meanwhile."""
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except FileNotFoundError:
        return False
