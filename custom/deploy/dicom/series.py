"""The DICOM series in a folder."""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
)

from custom.deploy.dicom.header_values import code_word, integer, quiet_pydicom, value_of
from custom.errors import InputError, Refusal
from custom.files.folder_search import walk_folder

__all__ = ["LONGEST_VALUE", "DicomSeries", "is_bare", "read_folder"]

# Suffixes of DICOM files; a broken file with one of them is refused, not ignored.
_DICOM_SUFFIXES = (".dcm", ".ima", ".dicom")
# Groups 0002 and 0008 come first; their elements are below 0100 at the start.
_BARE = re.compile(rb"[\x02\x08]\0.\0(?!.{124}DICM)", re.DOTALL)
LONGEST_VALUE = 2**16  # bytes of a value that is read with the header


@dataclass(frozen=True)
class DicomSeries:
    """The files of one series, without pixels.

    Headers and files are left out of its text form, since they hold patient attributes.

    Attributes:
        uid: Series Instance UID (0020,000E).
        number: Series Number (0020,0011); None if absent.
        description: Series Description (0008,103E); empty if absent.
        modality: Modality (0008,0060).
        headers: One data set a file, without pixels.
        files: The files, in the order of ``headers``.
    """

    uid: str
    number: int | None
    description: str
    modality: str
    headers: tuple[Dataset, ...] = field(repr=False)
    files: tuple[Path, ...] = field(repr=False)

    @property
    def image_count(self) -> int:
        """Number of images: files, or the frames of multi-frame files."""
        return sum(integer(header, "NumberOfFrames") or 1 for header in self.headers)

    @property
    def title(self) -> str:
        """Name of the series in messages: ``MR series 5 'T1 sagittal' (48 images)``."""
        number = "without number" if self.number is None else str(self.number)
        return f"{self.modality} series {number} {self.description!r} ({self.image_count} images)"


@quiet_pydicom()
def read_folder(folder: Path) -> list[DicomSeries]:
    """Read the headers of every DICOM file below a folder, linked folders included.

    Files that are not DICOM, hidden ones and a DICOMDIR are ignored. A file that cannot be read is
    refused if it is compressed as a whole, called ``.dcm`` or the like, or like the images beside
    it except for its number: without it a volume might lack its last slice unnoticed. Messages give
    the position of such a file in the list by name, since the name may be personal data.

    Args:
        folder: The folder; series may lie in separate folders or mixed in one.

    Returns:
        The series in the order of their numbers.

    Raises:
        InputError: If the folder does not exist or holds no DICOM file.
        Refusal: If a file is broken, or has no Series Instance UID.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder: give the folder of the DICOM files")
    walked = walk_folder(folder, _unreadable)
    below = sorted(place / name for place, _, names in walked for name in names)
    files = [path for path in below if path.is_file() or path.is_symlink()]  # links may be broken
    found: dict[str, list[tuple[Path, Dataset]]] = {}
    passed: list[tuple[Path, str]] = []
    for index, file in enumerate(files, start=1):
        place = f"file {index} of {len(files)} by name"
        header = _header(file, place)
        if header is None:
            passed.append((file, place))
        else:
            found.setdefault(str(header.SeriesInstanceUID), []).append((file, header))
    _refuse_lookalikes(passed, [file for members in found.values() for file, _ in members])
    if not found:
        raise InputError(f"{folder}: no DICOM file in {len(files)} files: give another folder")
    series = [_series(uid, members) for uid, members in found.items()]
    return sorted(series, key=lambda one: (one.number is None, one.number or 0, one.uid))


def _refuse_lookalikes(passed: Sequence[tuple[Path, str]], read: Sequence[Path]) -> None:
    """Refuse a file that is no DICOM but is named like the images beside it: damaged or empty."""
    forms = {_form(file) for file in read}
    for file, place in passed:
        if _form(file) in forms and file.name.upper() != "DICOMDIR":
            raise Refusal(
                "unreadable-file",
                f"{place} has a name like the images beside it but is no DICOM file: damaged or "
                "empty? Send it again or take it out",
            )


def _form(file: Path) -> Path:
    """Return a file's path without the numbers of its name: ``IM0005`` and ``IM0006`` are equal."""
    return file.with_name(re.sub(r"\d+", "0", file.name))


def _unreadable(_: InputError) -> NoReturn:
    """Refuse a folder that cannot be searched; its name may be personal data."""
    raise Refusal("unreadable-file", "a folder among the input's cannot be read: permit reading it")


def _header(file: Path, place: str) -> Dataset | None:
    """Return a file's data set without pixels; None if the file is to be ignored."""
    try:
        bare = is_bare(file)
        _check_deflated(file, bare, place)
        # One series is chosen later, and only its pixels are decoded; other large values are read
        # where they are used.
        header = pydicom.dcmread(
            file, stop_before_pixels=True, defer_size=LONGEST_VALUE, force=bare
        )
        if "TransferSyntaxUID" not in header.file_meta:
            implicit = header.original_encoding[0]
            syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
            header.file_meta.TransferSyntaxUID = syntax
    except InvalidDicomError:
        if file.suffix.lower() not in _DICOM_SUFFIXES:
            return None
        raise Refusal(
            "unreadable-file",
            f"{place} is called DICOM and is none: damaged on its way? Send it again or take it "
            "out",
        ) from None
    except Refusal:
        raise
    except FileNotFoundError:
        raise Refusal(
            "unreadable-file",
            f"{place} is a link to a file that is not here: fetch it (datalad get)",
        ) from None
    except Exception:  # of whatever kind the broken byte led to; its text may quote a value
        raise Refusal(
            "unreadable-file", f"{place} is damaged DICOM: send it again or take it out"
        ) from None
    if header.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
        return None
    if not header.get("SeriesInstanceUID"):
        raise Refusal(
            "missing-attribute",
            f"{place} has no Series Instance UID (0020,000E): export it again or take it out",
        )
    return header


def _check_deflated(file: Path, bare: bool, place: str) -> None:
    """Refuse a file that is compressed as a whole: a small one may fill the memory."""
    syntax = None if bare else read_file_meta_info(file).get("TransferSyntaxUID")
    if syntax == DeflatedExplicitVRLittleEndian:
        raise Refusal(
            "compressed",
            f"{place} is compressed as a whole ({DeflatedExplicitVRLittleEndian.name}), which is "
            "not read: export the series uncompressed, or convert it with dcmtk's dcmconv +te",
        )


def is_bare(file: Path) -> bool:
    """Return True for a data set without the preamble of a DICOM file, as of old programs."""
    with file.open("rb") as opened:
        if not _BARE.match(opened.read(132)):
            return False
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
            # What reads it would inflate it at once.
            if content.find(DeflatedExplicitVRLittleEndian.encode()) >= 0:
                return False
    try:
        found = pydicom.dcmread(file, force=True, specific_tags=["SOPClassUID"], defer_size=64)
        return str(found.get("SOPClassUID") or "").startswith("1.2.840.10008.")
    except Exception:  # of whatever kind the bytes of another format lead to
        return False


def _series(uid: str, members: Iterable[tuple[Path, Dataset]]) -> DicomSeries:
    """Return a series of its files."""
    files, headers = zip(*members, strict=True)
    first = headers[0]
    return DicomSeries(
        uid=uid,
        number=integer(first, "SeriesNumber"),
        description=str(value_of(first, "SeriesDescription") or "").strip(),
        modality=code_word(first, "Modality", "of no modality"),
        headers=headers,
        files=files,
    )
