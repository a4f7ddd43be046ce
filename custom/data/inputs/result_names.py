"""Names of results and of the files beside them."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from custom.files.reader import name_of

__all__ = [
    "RESTORED",
    "copy_of",
    "hidden_name",
    "map_of",
    "name_in_folder",
    "numbered",
    "sidecar_of",
    "unique_names",
]

RESTORED = "_restored"


def sidecar_of(output: str | Path) -> Path:
    """Return the JSON file that goes with a restored image."""
    output = Path(output)
    return output.with_name(output.name.removesuffix(".nii.gz") + ".json")


def map_of(output: str | Path, name: str) -> Path:
    """Return the map that may go with a restored image: ``a_noise.nii.gz``."""
    output = Path(output)
    stem = output.name.removesuffix(".nii.gz").removesuffix(RESTORED)
    return output.with_name(f"{stem}_{name}.nii.gz")


def copy_of(output: str | Path, name: str) -> Path:
    """Return the text file that may go with a restored image: ``a_restored.bval``."""
    output = Path(output)
    return output.with_name(f"{output.name.removesuffix('.nii.gz')}.{name}")


def name_in_folder(source: Path) -> str:
    """Return the name of an input in its folder; that of an array in a store has several parts."""
    return source.relative_to(name_of(source)[1]).as_posix()


def hidden_name(name: str, sha256: str) -> str:
    """Return a name for a file that tells nothing of its own: the start of its hash.

    Not the hash of the name: whoever has a list of names could try them all.

    Args:
        name: Its name, for the suffix alone.
        sha256: The hash of its content; 16 of its 64 digits are taken, which two of a million
            files share once in ten million times.
    """
    suffix = Path(name).suffix
    return sha256[:16] + (f".nii{suffix}" if name.lower().endswith(f".nii{suffix}") else suffix)


def unique_names(paths: Sequence[Path]) -> list[str]:
    """Name each image, with the names of its folders where two would be the same.

    ``a/t2.nii.gz`` and ``b/t2.nii.gz`` become ``a_t2`` and ``b_t2``; names that are still equal are
    numbered. Case is ignored, and how an accent is written, since some file systems ignore both.
    """
    pairs = [name_of(path) for path in paths]
    names = [name for name, _ in pairs]
    folders = [folder.absolute().parts[:0:-1] for _, folder in pairs]
    for depth in range(max(map(len, folders), default=0)):
        for index in _repeated(names):
            if depth < len(folders[index]):
                names[index] = f"{folders[index][depth]}_{names[index]}"
    return numbered(names)


def numbered(names: list[str]) -> list[str]:
    """Return names with a number after each that occurs more than once."""
    names = list(names)
    taken = set(map(_plain, names))
    for index in _repeated(names):
        free = (f"{names[index]}-{number}" for number in count(1))
        names[index] = next(name for name in free if _plain(name) not in taken)
        taken.add(_plain(names[index]))
    return names


def _plain(name: str) -> str:
    """Return a name as the least precise file system compares it."""
    return unicodedata.normalize("NFC", name).casefold()


def _repeated(names: Sequence[str]) -> list[int]:
    """Return the indices of names that occur more than once."""
    counts = Counter(map(_plain, names))
    return [index for index, name in enumerate(names) if counts[_plain(name)] > 1]
