"""Files and folders written whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from custom.errors import InputError

__all__ = ["atomic_path", "sha256_of", "whole_folder", "write_json"]


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
    temporary = target.with_name(f".tmp-{uuid.uuid4().hex[:8]}-{target.name}")
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
    temporary = folder.with_name(f".tmp-{uuid.uuid4().hex[:8]}-{folder.name}")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        if folder.is_dir():
            # Not every operating system renames onto a folder, even an empty one.
            folder.rmdir()
        temporary.rename(folder)
    except OSError as error:
        _check_space(error, folder)
        raise InputError(f"cannot write {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


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
