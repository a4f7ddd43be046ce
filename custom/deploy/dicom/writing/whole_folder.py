"""A folder of files, written whole or not at all."""

from __future__ import annotations

import errno
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from custom.errors import InputError

__all__ = ["whole_folder"]


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
            folder.rmdir()
        temporary.rename(folder)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputError(f"disk full while writing {folder}: free some space") from error
        raise InputError(f"cannot write {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
