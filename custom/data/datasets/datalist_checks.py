"""Checks of a dataset's list: names of keys, and nothing that stands in two places."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from custom.data.datasets.dataset_writer import SPLITS
from custom.data.datasets.subject_names import groups_of, subject_key
from custom.errors import InputError, did_you_mean
from custom.files.atomic import sha256_of

__all__ = ["HEAD_KEYS", "check_apart", "check_item", "name_of"]

Splits = Mapping[str, Sequence[Mapping[str, Any]]]

# Of the Medical Segmentation Decathlon, whose form the list has; "relase" is written so there.
_DECATHLON = ("reference", "licence", "release", "relase", "tensorImageSize", "labels")
_COUNTS = ("numTraining", "numValidation", "numTest")
HEAD_KEYS = (
    *("name", "description", "modality", "demonstration", "recipe"),
    *(*SPLITS, *_DECATHLON, *_COUNTS),
)
"""Keys that a list may have."""

# Entries that this code reads; an item may have others, of any name that is not close to these.
_ENTRIES = ("scan", "animal", "subject", "plane", "region", "phase_axis", "num_slices")
_SAMPLE_BYTES = 2**12


def name_of(item: Mapping[str, Any]) -> str:
    """Return the name of an item, or the file that identifies it."""
    return next(
        (str(item[key]) for key in ("scan", "image", "label") if key in item), "without a name"
    )


def check_item(
    item: Mapping[str, Any], needed: Sequence[str], paths: Sequence[str], file: Path
) -> None:
    """Refuse an item that lacks a required key, or has one misspelt.

    Args:
        item: The item, without the fields that are null.
        needed: Required keys.
        paths: Keys of files.
        file: The list, for messages.

    Raises:
        InputError: With the item and the key.
    """
    for key in (*needed, *(("num_slices",) if "store" in item else ())):
        if key not in item:
            raise InputError(
                f"{file}: item {name_of(item)} lacks {[key]}{did_you_mean(key, item)}: prepare the "
                "dataset again"
            )
    known = dict.fromkeys((*needed, *paths, *_ENTRIES))
    for key in item.keys() - known:
        hint = did_you_mean(key, known.keys() - item)
        if hint:
            raise InputError(f"{file}: item {name_of(item)} has the unknown key {key!r}{hint}")


def check_apart(splits: Splits, file: Path) -> None:
    """Refuse a scan, a file or a subject that stands in two splits, and a scan twice in one.

    Names are compared by :func:`~custom.data.datasets.subject_names.subject_key`, files through
    links and by their bytes.

    Args:
        splits: Items by split, with absolute paths.
        file: The list, for messages.

    Raises:
        InputError: With both places.
    """
    files = (item[key] for items in splits.values() for item in items for key in _own_files(item))
    contents = _contents(map(Path, files))
    seen: dict[tuple[str, str], tuple[str, str]] = {}
    for split, items in splits.items():
        for item in items:
            marks = dict(_marks(item, contents))
            for mark, once in marks.items():
                where, other = seen.get(mark, (split, ""))
                if where != split or (other and once):
                    raise InputError(
                        f"{file}: {name_of(item)} in {split} and {other} in {where} have the same "
                        f"{mark[0]}: keep one, or each subject in one split"
                    )
            seen |= dict.fromkeys(marks, (split, name_of(item)))


def _own_files(item: Mapping[str, Any]) -> list[str]:
    """Return the keys of the files that are an item's own; a mask may serve several."""
    return [key for key in ("image", "label", "store") if key in item]


def _marks(
    item: Mapping[str, Any], contents: Mapping[Path, str]
) -> Iterator[tuple[tuple[str, str], bool]]:
    """Yield what no other split may have, and whether no other item may have it at all."""
    for kind in ("scan", "subject", "animal"):
        if kind in item:
            yield (kind, subject_key(item[kind])), kind == "scan"
    for number, key in enumerate(_own_files(item)):
        # Several images may have one reference, as with noise of several levels.
        yield ("file", contents[Path(item[key])]), number == 0


def _contents(paths: Iterable[Path]) -> dict[Path, str]:
    """Return one text for each path, the same for links to one file and for equal bytes."""
    real = {path: path.resolve() for path in paths}
    files = [path for path in real.values() if path.is_file()]
    same_size = chain(*groups_of(files, lambda path: path.stat().st_size))
    hashes = {path: sha256_of(path) for path in chain(*groups_of(same_size, _sample))}
    return {path: hashes.get(target, str(target)) for path, target in real.items()}


def _sample(path: Path) -> bytes:
    """Return some bytes of a file's middle, by which most images of one size differ."""
    with path.open("rb") as file:
        file.seek(path.stat().st_size // 2)
        return file.read(_SAMPLE_BYTES)
