"""Inputs of a restoration: the images to restore, the names of the results, the refusals."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from tqdm import tqdm

from custom.data.datasets.dataset_writer import DATALIST
from custom.data.inputs.restored_writer import RESTORED, copy_of, is_result, map_of, sidecar_of
from custom.errors import InputError
from custom.files.reader import format_of, name_of

__all__ = ["InputSelection", "find_images", "unique_names"]

logger = logging.getLogger(__name__)


class InputSelection:
    """Screen all inputs first, so that one bad input does not stop the others.

    Args:
        inputs: A file, a folder to search, or a list of both.
        output_dir: Folder of the results, ``<name>_restored.nii.gz`` with a JSON sidecar, and
            ``<name>_uncertainty.nii.gz`` if the model gives an uncertainty.
        check: Raises :class:`~custom.errors.InputError` for an image that must be refused.
        overwrite: Whether to write over existing results.
        skip_existing: Whether to leave out inputs whose result and sidecar both exist.
        maps: Names of the maps that a run may write beside a result, ``<name>_<map>.nii.gz``.
        copies: Suffixes of the files that it copies, ``<name>_restored.<suffix>``.
        also_read: Further files that the run reads, none of which may be replaced; entries that are
            no text are ignored.

    Raises:
        InputError: If both ``overwrite`` and ``skip_existing`` are set, or ``output_dir`` is a
            file.
    """

    def __init__(
        self,
        inputs: str | Path | Sequence[str | Path],
        output_dir: str | Path,
        check: Callable[[Path], None],
        overwrite: bool = False,
        skip_existing: bool = False,
        maps: Sequence[str] = (),
        copies: Sequence[str] = (),
        also_read: Sequence[Any] = (),
    ) -> None:
        if overwrite and skip_existing:
            raise InputError("overwrite and skip_existing exclude each other: choose one")
        self.output_dir = Path(output_dir).expanduser().resolve()
        if self.output_dir.exists() and not self.output_dir.is_dir():
            raise InputError(f"output_dir {self.output_dir} is a file: give a folder")
        listed = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        self.inputs = [Path(str(name)).expanduser() for name in listed]
        self.check = check
        self.overwrite = overwrite
        self.skip_existing = skip_existing
        self.maps = tuple(maps)
        self.copies = tuple(copies)
        named = [Path(name).expanduser() for name in also_read if isinstance(name, (str, Path))]
        self.also_read = [path.resolve() for path in named]
        self.refused: list[str] = []
        self.skipped: list[Path] = []

    @cached_property
    def items(self) -> list[dict[str, str]]:
        """The images to restore: ``image`` and ``source``, its path, and ``output``, the result's.

        The first access checks all inputs and logs one line for each that is refused.
        """
        paths = list(self._paths())
        outputs = [self.output_dir / f"{name}{RESTORED}.nii.gz" for name in unique_names(paths)]
        items = []
        for path, output in tqdm(
            list(zip(paths, outputs, strict=True)), "Checking inputs", leave=False, disable=None
        ):
            if self.skip_existing and output.exists() and sidecar_of(output).exists():
                self.skipped.append(path)
                continue
            try:
                self._check_output(output, paths)
                self.check(path)
            except InputError as error:
                self._refuse(error)
            else:
                items.append({"image": str(path), "source": str(path), "output": str(output)})
        if self.skipped:
            logger.warning(
                "%d of %d inputs were restored before and are skipped; %d to restore",
                len(self.skipped),
                len(paths),
                len(items),
            )
        return items

    def finish(self) -> None:
        """Log the folder of the results.

        Raises:
            InputError: With one line for each refused input, if there is any.
        """
        logger.info("%d images restored to %s", len(self.items), self.output_dir)
        if self.refused:
            raise InputError("\n".join(self.refused))

    def _paths(self) -> Iterator[Path]:
        """Yield each input once; of a folder, the images in it."""
        seen: set[Path] = set()
        for name in self.inputs:
            try:
                found = [name] if format_of(name) or not name.is_dir() else find_images(name)
            except InputError as error:
                self._refuse(error)
                continue
            for path in found:
                if path.resolve() not in seen:
                    seen.add(path.resolve())
                    # Not resolved: the result of a link has the link's name.
                    yield path.absolute()

    def _check_output(self, output: Path, inputs: Sequence[Path]) -> None:
        """Refuse to overwrite a result without ``overwrite``, and an input in any case."""
        files = [output, *(map_of(output, name) for name in self.maps)]
        files += [copy_of(output, name) for name in self.copies]
        for file in files:
            if file in inputs or file in self.also_read:
                raise InputError(
                    f"{file}: the result would replace an input: choose another folder"
                )
        # An interrupted run can be continued: then the result is missing, but never a map alone.
        replaceable = self.overwrite or (self.skip_existing and output.exists())
        existing = [file for file in files if file.exists()]
        if existing and not replaceable:
            raise InputError(
                f"{existing[0]}: exists already: use overwrite, skip_existing or another folder"
            )

    def _refuse(self, error: InputError) -> None:
        """Log a refusal and keep it for the end."""
        logger.warning("refused: %s", error)
        self.refused.append(str(error))


def find_images(folder: str | Path) -> list[Path]:
    """Search a folder and the folders in it for images.

    These are NIfTI files, Bruker ``2dseq`` files, and the arrays named ``image`` of Zarr stores.
    Hidden files are ignored, and so are results of earlier runs (``*_restored.nii.gz`` with a
    sidecar, and maps such as ``*_uncertainty.nii.gz`` beside it).

    Raises:
        InputError: If there is none, or the folder is a prepared dataset, which also holds
            references and masks.
    """
    folder = Path(folder)
    if (folder / DATALIST).is_file():
        raise InputError(f"{folder}: a prepared dataset: give its folder {folder / 'images'}")
    found: list[Path] = []
    for name, folders, files in os.walk(folder):
        directory = Path(name)
        if format_of(directory) == "zarr":
            # The array is the image: its chunks are not searched.
            folders.clear()
            found += [directory] if directory.name == "image" else []
            continue
        folders[:] = sorted(child for child in folders if not child.startswith("."))
        found += [directory / file for file in sorted(files) if _is_input(directory / file)]
    if not found:
        raise InputError(f"{folder}: holds no NIfTI file, Zarr image or Bruker 2dseq")
    return found


def unique_names(paths: Sequence[Path]) -> list[str]:
    """Name each image, with the names of its folders where two would be the same.

    ``a/t2.nii.gz`` and ``b/t2.nii.gz`` become ``a_t2`` and ``b_t2``; names that are still equal are
    numbered. Case is ignored, since some file systems ignore it.
    """
    pairs = [name_of(path) for path in paths]
    names = [name for name, _ in pairs]
    folders = [folder.absolute().parts[:0:-1] for _, folder in pairs]
    for depth in range(max(map(len, folders), default=0)):
        for index in _repeated(names):
            if depth < len(folders[index]):
                names[index] = f"{folders[index][depth]}_{names[index]}"
    for index in _repeated(names):
        names[index] = f"{names[index]}-{index + 1}"
    return names


def _repeated(names: Sequence[str]) -> list[int]:
    """Return the indices of names that occur more than once."""
    counts = Counter(name.casefold() for name in names)
    return [index for index, name in enumerate(names) if counts[name.casefold()] > 1]


def _is_input(path: Path) -> bool:
    """Return True if a file of a searched folder is an image, neither a result nor hidden."""
    if path.name.startswith(".") or format_of(path) is None:
        return False
    result = is_result(path)
    if result:
        logger.info("passed over, a result of an earlier run: %s", path)
    return not result
