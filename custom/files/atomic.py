"""Files and folders written whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from custom.errors import InputError
from custom.files.temporary import temporary_path

__all__ = [
    "SHA256",
    "atomic_path",
    "check_sha256",
    "check_writable",
    "errors_of_writing",
    "set_aside",
    "sha256_of",
    "whole_folder",
    "write_json",
]

logger = logging.getLogger(__name__)

SHA256 = re.compile(r"[0-9a-f]{64}")


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; it takes the name of ``path`` on success.

    The temporary name keeps all suffixes, since writers choose the format by them. On any
    exception the temporary file goes and an older ``path`` stays as it was.

    Args:
        path: The file to write. Missing parent folders are made.

    Yields:
        The temporary path to write to.

    Raises:
        InputError: If the disk is full.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target: only within one file system a rename is atomic.
    temporary = temporary_path(target)
    try:
        yield temporary
        with temporary.open("rb") as written:
            # Contents before the name: else a power cut can leave the new name on an empty file.
            os.fsync(written.fileno())
        temporary.replace(target)
    except OSError as error:
        _check_space(error, target)
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Yield a hidden folder beside ``folder``; it takes the name of ``folder`` on success.

    On any exception it is removed with its content.

    Args:
        folder: New or empty. Missing parent folders are made.

    Raises:
        InputError: If the folder holds files, is a file, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: holds files already: give another folder")
    temporary = temporary_path(folder)
    try:
        with errors_of_writing(folder):
            temporary.mkdir(parents=True)
            yield temporary
            if folder.is_dir():
                # Not every operating system renames onto a folder, even an empty one.
                folder.rmdir()
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_writable(folder: str | Path) -> None:
    """Refuse a folder in which no file can be made, before hours of work; nothing is left there.

    Args:
        folder: It need not exist: then it must be possible to make it.

    Raises:
        InputError: With the reason.
    """
    place = Path(folder).absolute()
    try:
        nearest = next(above for above in (place, *place.parents) if above.exists())
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise InputError(f"cannot write into {place}: {error.strerror or error}") from error


@contextmanager
def errors_of_writing(folder: Path) -> Iterator[None]:
    """Turn an error of the operating system into the user's.

    Raises:
        InputError: If the disk is full, or the folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        _check_space(error, folder)
        place = f" ({error.filename})" if error.filename else ""
        raise InputError(f"cannot write {folder}: {error.strerror or error}{place}") from error


def set_aside(path: str | Path) -> Path | None:
    """Rename a file or folder of an earlier run, so that a new one can take its name.

    Args:
        path: The file or folder, for example ``models/last.pt``.

    Returns:
        The new path, ``models/last.1.pt`` or the next free number; ``None`` if there was nothing.

    Raises:
        InputError: If it cannot be renamed, as the mount point of a container.
    """
    source = Path(path).absolute()
    if not source.exists():
        return None
    # A dot in the name of a folder begins no suffix.
    stem, suffix = (source.name, "") if source.is_dir() else (source.stem, source.suffix)
    names = (source.with_name(f"{stem}.{number}{suffix}") for number in count(1))
    free = next(name for name in names if not name.exists())
    try:
        source.rename(free)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(
            f"{source} is of an earlier run and cannot be renamed ({reason}): give another folder"
        ) from error
    logger.info("kept %s of an earlier run as %s", source, free)
    return free


def _check_space(error: OSError, target: Path) -> None:
    """Raise the user's error if the disk is full."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        raise InputError(f"disk full while writing {target}: free some space") from error


def write_json(path: str | Path, content: Any) -> Path:
    """Write ``content`` as indented JSON, atomically, and return the path."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return Path(path)


def sha256_of(path: str | Path) -> str:
    """Return the SHA-256 of a file as hexadecimal text."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sha256(path: str | Path, expected: str) -> None:
    """Refuse a file that is not the one that its source names, before anything of it is read.

    Args:
        path: The file.
        expected: Its SHA-256 as its source states it: 64 hexadecimal digits in any case.

    Raises:
        InputError: If it is another file, no file, or ``expected`` is no SHA-256.
    """
    wanted = expected.strip().lower()
    if not SHA256.fullmatch(wanted):
        raise InputError(f"sha256 must be 64 hexadecimal digits, got {expected!r}")
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file: a sha256 is that of one file")
    found = sha256_of(path)
    if found != wanted:
        raise InputError(
            f"{path}: its SHA-256 is {found}, not {wanted}: damaged, or not what its source made"
        )
