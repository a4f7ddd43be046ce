"""Images in a folder, and what else is in it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from custom.data.datasets.dataset_writer import DATALIST
from custom.data.inputs.earlier_results import is_result
from custom.errors import InputError
from custom.files.folder_search import other_format, raise_fault, walk_folder
from custom.files.reader import format_of, is_damaged_zarr

__all__ = ["find_images"]

logger = logging.getLogger(__name__)

_NAMED = 3  # names of files in one line of the log


def find_images(
    folder: str | Path,
    maps: Sequence[str] = (),
    refuse: Callable[[InputError], None] = raise_fault,
) -> list[Path]:
    """Search a folder and the folders in it, linked ones too, for images.

    These are NIfTI files, Bruker ``2dseq`` files, and the arrays named ``image`` of Zarr stores.
    Hidden files are ignored. Passed over, with a line in the log, are results of earlier runs
    (``*_restored.nii.gz``, and maps such as ``*_spread.nii.gz`` beside them), arrays of other
    names, prepared datasets, and images in formats that are not read here.

    Args:
        folder: The folder.
        maps: See :func:`custom.data.inputs.earlier_results.is_result`.
        refuse: Is called with the fault of a folder or store that cannot be read.

    Raises:
        InputError: If there is none, or the folder is a prepared dataset, which also holds
            references and masks.
    """
    folder = Path(folder)
    if (folder / DATALIST).is_file():
        raise InputError(f"{folder}: a prepared dataset: give its folder {folder / 'images'}")
    found: list[Path] = []
    passed: dict[tuple[Path, str], list[str]] = {}
    for directory, folders, files in walk_folder(folder, refuse):
        if is_damaged_zarr(directory):
            refuse(InputError(f"{directory / 'zarr.json'}: damaged: write the store again"))
            folders.clear()
            continue
        inside = [directory / file for file in files]
        if _is_one_thing(directory, files):
            folders.clear()
            inside = [directory]
        for path in inside:
            reason = _not_to_restore(path, maps)
            if reason is not None:
                passed.setdefault((path.parent, reason), []).append(path.name)
            elif format_of(path) is not None:
                found.append(path)
    lines = [f"{place}: {_names(names)}: {why}" for (place, why), names in passed.items()]
    for line in lines:
        logger.warning("passed over: %s", line)
    if not found:
        beside = f" (passed over: {lines[0]})" if lines else ""
        raise InputError(f"{folder}: holds no NIfTI file, Zarr image or Bruker 2dseq{beside}")
    return found


def _is_one_thing(directory: Path, files: Sequence[str]) -> bool:
    """Return True if what is in a folder are parts of one array, store or dataset."""
    return DATALIST in files or bool(other_format(directory) or format_of(directory))


def _not_to_restore(path: Path, maps: Sequence[str]) -> str | None:
    """Return why a file or folder that may hold an image is none to restore, or None."""
    if is_result(path, maps):
        return "of an earlier run: name the file to restore it"
    if format_of(path) == "zarr" and path.name != "image":
        return "Zarr arrays that are not called image: name the array to restore it"
    if (path / DATALIST).is_file():
        return f"a prepared dataset: name its folder {path.name}/images"
    return other_format(path)


def _names(names: Sequence[str]) -> str:
    """Return the first few names, and how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
