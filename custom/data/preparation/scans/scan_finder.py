"""Find and describe all scans of some folders: ParaVision studies and NIfTI files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

from custom.data.datasets.dataset_writer import DATALIST
from custom.data.preparation.scans.scan_description import (
    PLANES,
    LeftOut,
    ScanDescription,
    ScanKind,
    describe_bruker_scan,
    find_region,
    plain_name,
    plane_of,
)
from custom.errors import InputError
from custom.files.bruker import read_bruker_header
from custom.files.folder_search import other_format, walk_folder
from custom.files.image_faults import readable
from custom.files.reader import read_header
from custom.transforms.slice_axis import find_slice_axis

__all__ = ["ScanFinder", "find_bruker_scans", "find_nifti_scans"]

_SUFFIX = re.compile(r"\.nii(\.gz)?$", re.IGNORECASE)
# The word for the kind of a file: at the end of its name, or the name of its folder.
_KINDS = {
    **dict.fromkeys(("fast", "low", "image", "images"), "fast"),
    **dict.fromkeys(("default", "high", "label", "labels"), "default"),
    **dict.fromkeys(("mask", "masks", "roi"), "mask"),
}
_NAME = re.compile(rf"^(?P<animal>.+?)_(?P<plane>{'|'.join(PLANES)})(_(?P<region>.+))?$")


class ScanFinder:
    """Describe the ParaVision scans and NIfTI files of some folders.

    Args:
        source: A folder, or several: ParaVision studies, folders that hold some, or folders of
            NIfTI pairs (for the names see
            :func:`custom.data.preparation.scans.scan_finder.find_nifti_scans`).
        region_patterns: Region to the regular expression that finds it in the names of the
            ParaVision study, the scan or the protocol. The first that occurs counts.
        method: Regular expression for the pulse sequence of ParaVision scans; ``None`` for any.
        reconstruction: Number of the reconstruction in ``pdata`` that is used.

    Raises:
        InputError: If there is no source, or one is no folder.
    """

    def __init__(
        self,
        source: str | Path | Sequence[str | Path] | None,
        region_patterns: Mapping[str, str],
        method: str | None = "RARE",
        reconstruction: int = 1,
    ) -> None:
        if not source:
            raise InputError("no source: give --source FOLDER with scans, or several")
        sources = [source] if isinstance(source, (str, Path)) else list(source)
        self.sources = [Path(folder).expanduser().absolute() for folder in sources]
        self.region_patterns = dict(region_patterns)
        self.method = method
        self.reconstruction = reconstruction
        for folder in self.sources:
            if not folder.is_dir():
                raise InputError(f"source {folder} is no folder: give one with scans")

    def __str__(self) -> str:
        return ", ".join(map(str, self.sources))

    def __call__(self) -> tuple[list[ScanDescription], list[LeftOut]]:
        """Return the scans that may be paired, and the others with the reason.

        Raises:
            InputError: If there is no scan at all.
        """
        scans: list[ScanDescription] = []
        left_out: list[LeftOut] = []
        for folder in self.sources:
            bruker = find_bruker_scans(
                folder, self.region_patterns, self.method, self.reconstruction
            )
            nifti = find_nifti_scans(folder, self.region_patterns)
            scans += [*bruker[0], *nifti[0]]
            left_out += [*bruker[1], *nifti[1]]
        if not scans and not left_out:
            raise InputError(f"source {self}: holds no ParaVision scan (2dseq) and no NIfTI file")
        return scans, left_out


def find_bruker_scans(
    folder: Path, region_patterns: Mapping[str, str], method: str | None, reconstruction: int = 1
) -> tuple[list[ScanDescription], list[LeftOut]]:
    """Describe every scan of the ParaVision studies in a folder; see :class:`ScanFinder`."""
    scans: list[ScanDescription] = []
    left_out: list[LeftOut] = []
    for path in _scan_folders(folder):
        source = f"{folder.name}/{path.relative_to(folder)}".removesuffix("/.")
        images = sorted(path.glob("pdata/*/2dseq"))
        chosen = path / "pdata" / str(reconstruction) / "2dseq"
        if chosen not in images:
            left_out.append(LeftOut(source, f"no image: pdata/{reconstruction}/2dseq is missing"))
        for image in images:
            name = f"{source}/{image.relative_to(path).as_posix()}"
            if image != chosen:
                reason = f"another reconstruction: pdata/{reconstruction} is used"
                left_out.append(LeftOut(name, reason))
                continue
            try:
                header = read_bruker_header(image)
                if header.derived:
                    left_out.append(LeftOut(name, f"a map computed from images ({header.derived})"))
                    continue
                scan = describe_bruker_scan(header, name, region_patterns)
            except InputError as error:
                left_out.append(LeftOut(name, str(error).removeprefix(f"{image}: ")))
                continue
            found = str(scan.parameters.get("method", "unknown"))
            if method is not None and not re.search(method, found, re.IGNORECASE):
                left_out.append(LeftOut(name, f"its method is {found}, not {method}"))
                continue
            scans.append(scan)
    return scans, left_out


def _scan_folders(folder: Path) -> Iterator[Path]:
    """Yield the folders of single scans: those with acquisition parameters or reconstructions."""
    # A folder that cannot be read is named by the search for NIfTI files.
    for place, folders, files in walk_folder(folder, lambda _: None):
        if "acqp" in files or "pdata" in folders:
            folders.clear()
            yield place
        # ParaVision numbers its scans: 2 comes before 10.
        folders.sort(key=lambda child: (not child.isdigit(), child.zfill(12)))


def find_nifti_scans(
    folder: Path, region_patterns: Mapping[str, str]
) -> tuple[list[ScanDescription], list[LeftOut]]:
    """Describe the NIfTI files in a folder.

    ``<animal>_<plane>_<region>_fast.nii.gz`` pairs with ``..._default.nii.gz``; ``low`` and
    ``high``, ``image`` and ``label`` mean the same. Or the word is the name of the folder, and
    both files have equal names. A third file, ``mask``, may mark regions on the grid of the
    default scan. Of other names the part before the first ``_`` is the animal, and the affine gives
    the plane. Prepared datasets and hidden folders are ignored; images in other formats, and
    folders that cannot be read, are left out by name.
    """
    scans: list[ScanDescription] = []
    left_out: list[LeftOut] = []
    masks: dict[str, Path] = {}
    for path in _image_files(folder, left_out):
        source = f"{folder.name}/{path.relative_to(folder).as_posix()}"
        stem, kind = _kind_of(path)
        foreign = other_format(path)
        if foreign is not None:
            left_out.append(LeftOut(source, foreign))
        elif kind is None:
            left_out.append(LeftOut(source, "its name ends neither in _fast nor in _default"))
        elif kind == "mask":
            masks[stem] = path
        else:
            found = _describe(path, source, stem, cast(ScanKind, kind), region_patterns)
            if isinstance(found, LeftOut):
                left_out.append(found)
            else:
                scans.append(found)
    names = {scan.parameters["name"] for scan in scans if scan.kind == "default"}
    left_out += [
        LeftOut(f"{folder.name}/{path.relative_to(folder).as_posix()}", "a mask without its scan")
        for name, path in masks.items()
        if name not in names
    ]
    return [_with_mask(scan, masks) for scan in scans], left_out


def _image_files(folder: Path, left_out: list[LeftOut]) -> Iterator[Path]:
    """Yield all image files that are not hidden and in no prepared dataset, of any format."""
    unreadable: list[InputError] = []
    for place, folders, files in walk_folder(folder, unreadable.append):
        if DATALIST in files:
            folders.clear()
            continue
        paths = (place / file for file in files)
        yield from (path for path in paths if _SUFFIX.search(path.name) or other_format(path))
    left_out += [LeftOut(folder.name, str(error)) for error in unreadable]


def _kind_of(path: Path) -> tuple[str, str | None]:
    """Return a file's name without the word for its kind, and the kind."""
    stem = _SUFFIX.sub("", path.name)
    front, _, word = stem.rpartition("_")
    if front and word.lower() in _KINDS:
        return front, _KINDS[word.lower()]
    return stem, _KINDS.get(path.parent.name.lower())


def _describe(
    path: Path, source: str, stem: str, kind: ScanKind, region_patterns: Mapping[str, str]
) -> ScanDescription | LeftOut:
    """Describe one file by its name and header."""
    try:
        header = readable(path, read_header)
    except InputError as error:
        return LeftOut(source, str(error).removeprefix(f"{path}: "))
    shape, affine = header.shape, header.affine
    if header.derived:
        return LeftOut(source, f"a map computed from images ({header.derived})")
    if len(shape) != 3:
        return LeftOut(
            source, f"{len(shape)}D with shape {shape}: a stack (X, Y, slices) is needed"
        )
    if find_slice_axis(affine, shape, stated=header.slice_axis) != 2:
        return LeftOut(source, "its slices do not follow the last axis: reorder the axes")
    match = _NAME.match(stem)
    animal, plane, region = match.group("animal", "plane", "region") if match else ("", "", "")
    return ScanDescription(
        path=path,
        source=source,
        animal=plain_name(animal or stem.split("_")[0]),
        plane=plane or plane_of(affine),
        region=plain_name(region or "") or find_region([stem], region_patterns),
        size=(shape[0], shape[1], shape[2]),
        affine=affine,
        kind=kind,
        parameters={"matrix": list(shape[:2]), "slices": shape[2], "name": stem},
    )


def _with_mask(scan: ScanDescription, masks: Mapping[str, Path]) -> ScanDescription:
    """Return a default scan with its mask, if it has one."""
    mask = masks.get(str(scan.parameters["name"])) if scan.kind == "default" else None
    return ScanDescription(**{**vars(scan), "mask": mask}) if mask else scan
