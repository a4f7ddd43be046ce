"""Temporary names that state their process, and the removal of what killed runs left."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import socket
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import psutil

__all__ = ["TEMPORARY_NAME", "remove_own", "sweep", "temporary_folder", "temporary_path"]

logger = logging.getLogger(__name__)

TEMPORARY_NAME = re.compile(r"\.tmp-(?P<machine>[0-9a-f]{4})-(?P<process>\d+)-[0-9a-f]{6}-")
_KEPT = 50  # last characters of a name: its suffixes, by which writers choose the format
_DAY = 86400.0  # seconds


def temporary_path(target: Path) -> Path:
    """Return a new hidden name beside a file or folder that is to be written.

    The first call for a folder removes what killed runs left in it, see :func:`sweep`.
    """
    sweep(target.parent)
    own = f".tmp-{_machine()}-{os.getpid()}-{uuid.uuid4().hex[:6]}-"
    return target.with_name(own + target.name[-_KEPT:])


@contextmanager
def temporary_folder(name: str, into: Path | None = None) -> Iterator[Path]:
    """Make a folder that only this user can read, and remove it at the end.

    Args:
        name: End of its name.
        into: Where to make it; by default in the system's folder, ``$TMPDIR``.
    """
    folder = temporary_path((into or Path(tempfile.gettempdir())) / name)
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@cache
def sweep(folder: Path) -> None:
    """Remove the temporary files and folders that killed runs left in a folder; once a process.

    What a running process of this machine is writing stays. Of other machines and containers,
    whose processes are not known here, what is older than a day goes.
    """
    try:
        left = [path for path in folder.iterdir() if _is_left(path)]
    except OSError:  # none there, or not to be read
        return
    for path in left:
        logger.info("removed %s, which a run that was stopped has left", path)
        _remove(path)


def remove_own(folder: Path) -> None:
    """Remove what this process is writing in a folder; for one that has to end at once."""
    for path in folder.glob(f".tmp-{_machine()}-{os.getpid()}-*"):
        _remove(path)


@cache
def _machine() -> str:
    """Return a sign of the machine, or of the container, that numbers this process."""
    try:
        numbers = str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # no Linux
        numbers = ""
    return hashlib.sha256(f"{socket.gethostname()} {numbers}".encode()).hexdigest()[:4]


def _is_left(path: Path) -> bool:
    """Return True if a file or folder is temporary, and no process that writes it is known."""
    name = TEMPORARY_NAME.match(path.name)
    if name is None:
        return False
    try:
        status = path.lstat()
        if hasattr(os, "getuid") and status.st_uid != os.getuid():
            return False
        if name["machine"] != _machine():
            return time.time() - status.st_mtime > _DAY
        # A process that began later has only got the same number. A day of margin: the file has
        # the time of its file server, whose clock may be behind.
        began = float(psutil.Process(int(name["process"])).create_time())
        return began > status.st_ctime + _DAY
    except psutil.NoSuchProcess:
        return True
    except (OSError, psutil.Error):
        return False


def _remove(path: Path) -> None:
    """Remove a file or folder, as far as it can be."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
