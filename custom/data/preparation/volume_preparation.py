"""Prepare a dataset for super-resolution from a folder of 3D NIfTI volumes."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from custom.data.datasets.dataset_kinds import VOLUMES, volume_pair
from custom.data.datasets.dataset_writer import DATALIST, SPLITS, DatasetWriter
from custom.data.datasets.subject_names import groups_of
from custom.data.inputs.image_search import find_images
from custom.data.inputs.result_names import hidden_name, unique_names
from custom.data.preparation.cropping import crop_air, fit_int16
from custom.data.preparation.dataset_publishing import (
    PREPARATION,
    check_output_dir,
    published_dataset,
)
from custom.data.preparation.splits import SubjectSplit
from custom.errors import InputError
from custom.files.atomic import sha256_of, write_json
from custom.files.image_faults import load_image, readable
from custom.files.reader import format_of, name_of
from custom.setting_checks import check_not_negative
from custom.versions import package_versions

__all__ = ["VolumePreparation"]

logger = logging.getLogger(__name__)

_PACKAGES = ("mri-restoration-bundles", "nibabel", "numpy", "scipy")


class VolumePreparation:
    """Write each volume of a folder as one reference of a dataset, whole or not at all.

    Air around the head is cropped, and values that whole numbers would round too coarsely are
    rescaled. ``preparation.json`` lists the source file of each reference.

    Args:
        source: A folder with NIfTI files at any depth, a file, or a list of them.
        output_dir: Folder of the dataset.
        split: Gives the subject of a file, and the split of a subject.
        check: Raises :class:`~custom.errors.InputError` for a file that must be refused.
        files: Pattern for the names of the files to take, such as ``*_T1w.nii.gz``.
        crop_margin_mm: Air that stays around the head.
        overwrite: Whether to replace a dataset in ``output_dir``.
        no_names: Whether scans, subjects and source files are named by hashes of the files'
            contents, in place of names that may be those of people.

    Raises:
        InputError: If a folder is missing, ``output_dir`` is in use or lies in ``source``, or the
            margin is no number of 0 or more.
    """

    def __init__(
        self,
        source: str | Path | Sequence[str | Path] | None,
        output_dir: str | Path | None,
        split: SubjectSplit,
        check: Callable[[Path], None],
        files: str = "*",
        crop_margin_mm: float = 8.0,
        overwrite: bool = False,
        no_names: bool = False,
    ) -> None:
        if source is None or output_dir is None:
            raise InputError(
                "give --source, a folder of volumes, and --output_dir, that of the dataset"
            )
        listed = source if isinstance(source, (list, tuple)) else [source]
        self.sources = [Path(str(part)).expanduser().absolute() for part in listed]
        self.output_dir = Path(output_dir).expanduser().resolve()
        for part in self.sources:
            if not part.exists():
                raise InputError(f"source {part} does not exist: give a folder of NIfTI volumes")
            # Else a later run would find the references of this one among its sources.
            if part.resolve() in self.output_dir.parents:
                raise InputError(f"output_dir {self.output_dir} lies in the source: choose another")
        check_not_negative("crop_margin_mm", crop_margin_mm)
        check_output_dir(self.output_dir, overwrite, frozenset())
        self.split = split
        self.check = check
        self.files = files
        self.crop_margin_mm = crop_margin_mm
        self.no_names = no_names

    def run(self) -> Path:
        """Write the dataset.

        Returns:
            The path of its ``datalist.json``.

        Raises:
            InputError: If there is no file or too few subjects; with one line for each file that
                is refused, if there is any.
        """
        paths = self._paths()
        names = unique_names(paths)
        subjects = self.split.subjects_of(list(zip(paths, names, strict=True)))
        splits = self.split(subjects)
        if self.no_names:
            names, subjects, splits = _without_names(paths, subjects, splits)
        files = list(zip(paths, names, subjects, strict=True))
        about = "3D volumes", "3D volumes; air cut off"
        with published_dataset(self.output_dir, VOLUMES, *about) as writer:
            records = self._write_all(writer, files, splits)
            write_json(writer.folder / PREPARATION, self._report(records))
        logger.info(
            "%d volumes of %d subjects (%s) written to %s",
            len(records),
            len(splits),
            ", ".join(f"{len(writer.items[part])} {part}" for part in SPLITS),
            self.output_dir,
        )
        return self.output_dir / DATALIST

    def _write_all(
        self,
        writer: DatasetWriter,
        files: Sequence[tuple[Path, str, str]],
        splits: Mapping[str, str],
    ) -> list[dict[str, Any]]:
        """Write all volumes; raise with the fault of each one that cannot be written."""
        records: list[dict[str, Any]] = []
        refused: list[str] = []
        for path, name, subject in tqdm(files, "Preparing volumes", disable=None):
            try:
                records.append(self._write(writer, path, name, subject, splits[subject]))
            except ValueError as error:
                refused.append(str(error))
        if refused:
            last = (
                f"{len(refused)} of {len(files)} files refused, so nothing is written: take them "
                "out, or choose files by name, such as --files '*_T1w.nii.gz'"
            )
            raise InputError("\n".join([*refused, last]))
        return records

    def _paths(self) -> list[Path]:
        """Return the files to take, each once."""
        found = [
            path
            for part in self.sources
            for path in (find_images(part) if part.is_dir() else [part])
            if format_of(path) == "nifti" and fnmatchcase(path.name, self.files)
        ]
        if not found:
            listed = ", ".join(map(str, self.sources))
            raise InputError(f"no NIfTI file with a name like {self.files!r} in {listed}")
        for group in groups_of(found, lambda path: name_of(path)[1] / name_of(path)[0]):
            raise InputError(
                f"{' and '.join(map(str, group))} have one name, so they may be one image: "
                "take one out, or rename it"
            )
        return list(dict.fromkeys(found))

    def _write(
        self, writer: DatasetWriter, path: Path, name: str, subject: str, split: str
    ) -> dict[str, Any]:
        """Write one volume and return its record."""
        self.check(path)
        if "#" in name:
            raise InputError(f"{path}: a scan's name must be without '#': rename the file")
        values, header = readable(path, load_image)
        try:
            part, affine = crop_air(
                values, np.asarray(header.affine, float), margin_mm=self.crop_margin_mm
            )
            label, factor, too_bright = fit_int16(part)
            writer.add(split, name, volume_pair(label, affine), subject=subject)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        if too_bright:
            logger.warning(
                "%s: %d voxels are too bright for 16 bits beside the tissue, stored as the largest "
                "value",
                path,
                too_bright,
            )
        digest = sha256_of(path)
        return {
            "scan": name,
            "split": split,
            "subject": subject,
            "file": hidden_name(path.name, digest) if self.no_names else path.name,
            "sha256": digest,
            "shape": list(values.shape),
            "kept": list(part.shape),
            "unit": factor,
            "voxels_cut": too_bright,
        }

    def _report(self, records: Sequence[Any]) -> dict[str, Any]:
        """Return the content of ``preparation.json``."""
        return {
            "versions": package_versions(_PACKAGES),
            "settings": {
                **self.split.settings,
                "files": self.files,
                "crop_margin_mm": self.crop_margin_mm,
            },
            "volumes": list(records),
        }


def _without_names(
    paths: Sequence[Path], subjects: Sequence[str], splits: Mapping[str, str]
) -> tuple[list[str], list[str], dict[str, str]]:
    """Return names of scans and of subjects, and the split of each subject, by hashes."""
    digests = [sha256_of(path) for path in paths]
    of: dict[str, list[str]] = {}
    for subject, digest in zip(subjects, digests, strict=True):
        of.setdefault(subject, []).append(digest)
    hidden = {
        subject: hidden_name("", hashlib.sha256("".join(sorted(found)).encode()).hexdigest())
        for subject, found in of.items()
    }
    return (
        [hidden_name("", digest) for digest in digests],
        [hidden[subject] for subject in subjects],
        {hidden[subject]: split for subject, split in splits.items()},
    )
