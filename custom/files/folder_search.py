"""Search a folder for files: linked folders too, each once, and nothing passed over unsaid."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from custom.errors import InputError

__all__ = ["other_format", "raise_fault", "walk_folder"]

# Images in formats that are not read here.
_OTHER = re.compile(
    r"\.(img|hdr|mgz|mgh|mnc|nrrd|nhdr|mha|mhd|mif|dcm|ima|nii\.(bz2|zst))(\.gz)?$", re.IGNORECASE
)


def raise_fault(fault: InputError) -> None:
    """Raise a fault at once."""
    raise fault


def walk_folder(
    folder: str | Path, refuse: Callable[[InputError], None] = raise_fault
) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Yield a folder and all in it with the names of their folders and files, as ``os.walk`` does.

    Linked folders are entered too, after all others and each real folder once, so that loops end; a
    link to a folder that holds ``folder`` is not followed. Names are sorted and hidden ones left
    out. The caller may reorder the list of folders, or take out those that are not to be entered.

    Args:
        folder: Where to begin.
        refuse: Is called with the fault of a folder that cannot be read.
    """

    def unreadable(error: OSError) -> None:
        refuse(InputError(f"{error.filename}: cannot be searched: {error.strerror or error}"))

    top = os.path.realpath(folder)
    entered: set[str] = set()
    waiting = [Path(folder)]
    while waiting:
        for name, folders, files in os.walk(waiting.pop(0), onerror=unreadable):
            real = os.path.realpath(name)
            holds_top = real != top and os.path.commonpath([real, top]) == real
            if real in entered or holds_top:
                folders.clear()
                continue
            entered.add(real)
            folders[:] = sorted(child for child in folders if not child.startswith("."))
            yield Path(name), folders, sorted(file for file in files if not file.startswith("."))
            # Links are not followed by os.walk, but stand among the folders.
            inner = (Path(name) / child for child in folders)
            waiting += [path for path in inner if path.is_symlink()]


def other_format(path: Path) -> str | None:
    """Return why a file or folder holds an image that is not read here, or None for no image.

    Args:
        path: A file, known by its name, or a folder, which may be a Zarr store.
    """
    ending = _OTHER.search(path.name)
    if ending is not None:
        return f"{ending[0]} is a format that is not read here: convert it to .nii.gz"
    if any((path / mark).is_file() for mark in (".zarray", ".zgroup")):
        return "a store of Zarr format 2: convert it to format 3 (zarr migrate v3) or .nii.gz"
    return None
