"""Let one process at a time work on a folder."""

from __future__ import annotations

import atexit
import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from custom.errors import InputError

__all__ = ["keep_folder", "process_lock", "release_folder"]

logger = logging.getLogger(__name__)

_LOCK = ".running.lock"
_kept: dict[Path, ExitStack] = {}


@contextmanager
def process_lock(path: str | Path, *, wait: bool = True) -> Iterator[None]:
    """Hold a lock file; a second process or thread waits, with a message, until it is released.

    The operating system frees the lock of a killed process. The file is removed at the end, so that
    a user's folder stays as it was.

    Args:
        path: The lock file. Missing parent folders are made.
        wait: False: a second one is refused.

    Raises:
        InputError: If another one holds it, and is not waited for.
    """
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(file)
    try:
        # First without waiting, so that a wait can be announced.
        lock.acquire(timeout=0)
    except Timeout as error:
        if not wait:
            raise InputError(
                f"{file.parent}: another process is writing there: wait until it has ended, or "
                "give another folder"
            ) from error
        logger.info("another process works in %s: waiting for it", file.parent)
        lock.acquire()
    try:
        yield
    finally:
        # Removed while it is held: a waiting process finds its file unlinked and opens a new one.
        file.unlink(missing_ok=True)
        lock.release()


def keep_folder(folder: str | Path) -> None:
    """Keep a folder for this process until :func:`release_folder`, or until it ends.

    Args:
        folder: The folder; made if it is missing.

    Raises:
        InputError: If another process keeps it.
    """
    path = Path(folder).absolute()
    if path not in _kept:
        with ExitStack() as stack:
            stack.enter_context(process_lock(path / _LOCK, wait=False))
            _kept[path] = stack.pop_all()


def release_folder(folder: str | Path) -> None:
    """Let other processes have a folder; nothing happens to one that is not kept."""
    if stack := _kept.pop(Path(folder).absolute(), None):
        stack.close()


@atexit.register
def _release_all() -> None:
    """Leave no lock file behind."""
    for folder in list(_kept):
        release_folder(folder)
