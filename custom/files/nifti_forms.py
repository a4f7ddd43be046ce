"""NIfTI headers as they are read: the valid one of two forms, and the axis of slices."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from monai.config import PathLike
from numpy.typing import NDArray

from custom.files.text_files import read_json

__all__ = ["EXTENSIONS_UP_TO", "affine_fault", "load_nifti", "mend_forms"]

logger = logging.getLogger(__name__)

# The fields of the two forms, without their codes.
_FIELDS = {
    "sform": ("srow_x", "srow_y", "srow_z"),
    "qform": ("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
}
_QUATERNION = _FIELDS["qform"][:3]
EXTENSIONS_UP_TO = 2**24  # bytes: far more than in any file
_BIDS_AXES = {"i": 0, "j": 1, "k": 2}
_ROUNDED = 1e-3  # the most that b² + c² + d² of a quaternion may be above 1


class _ShortExtensions(nib.nifti1.Nifti1Extensions):
    """Extensions of a bounded length: a compressed file of some KB may declare gigabytes."""

    @classmethod
    def from_fileobj(cls, fileobj: Any, size: int, byteswap: bool) -> Any:
        """Read the extensions, which fill ``size`` bytes."""
        if size > EXTENSIONS_UP_TO:
            raise nib.spatialimages.HeaderDataError(f"extensions of {size:.3g} bytes")
        return super().from_fileobj(fileobj, size, byteswap)  # type: ignore[no-untyped-call]


class _ValidForms:
    """Header of a file whose forms are mended as soon as they are read."""

    exts_klass = _ShortExtensions

    @classmethod
    def from_fileobj(cls, fileobj: Any, *args: Any, **kwargs: Any) -> Any:
        """Read the header."""
        header = super().from_fileobj(fileobj, *args, **kwargs)  # type: ignore[misc]
        dropped = mend_forms(header)
        if dropped is not None:
            _say_once(f"{fileobj.name}: its {dropped} is not valid: the other form is used")
        return header


class _Header1(_ValidForms, nib.Nifti1Header):
    """NIfTI-1."""


class _Header2(_ValidForms, nib.Nifti2Header):
    """NIfTI-2."""


class _Image1(nib.Nifti1Image):
    """NIfTI-1."""

    header_class = _Header1


class _Image2(nib.Nifti2Image):
    """NIfTI-2."""

    header_class = _Header2


def load_nifti(path: PathLike, **kwargs: Any) -> Any:
    """Open a NIfTI file as nibabel does, but by the one of its two forms that is valid.

    nibabel takes the sform, if it has a code, whatever is in it, and raises for a qform whose
    quaternion is longer than 1 by rounding. A header that names no axis of slices (``dim_info``)
    gets that of the BIDS sidecar beside the file (``SliceEncodingDirection``).

    Args:
        path: The file.
        kwargs: Of ``nibabel.load``.

    Raises:
        Exception: Whatever nibabel raises for a file that it cannot read.
    """
    for kind in (_Image1, _Image2):
        if kind.path_maybe_image(path)[0]:
            image = kind.from_filename(path, **kwargs)
            _state_slice_axis(image.header, Path(path))
            return image
    return nib.load(path, **kwargs)  # says what is wrong with the file


def _state_slice_axis(header: Any, path: Path) -> None:
    """Put the axis of slices that a BIDS sidecar names into a header that names none."""
    frequency, phase, slices = header.get_dim_info()
    stem = path.name.removesuffix(".gz").removesuffix(".nii")
    if slices is not None:
        return
    try:
        about = read_json(path.with_name(f"{stem}.json"))
        axis = _BIDS_AXES.get(about["SliceEncodingDirection"].rstrip("-"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return  # none, or another program's: it is no condition for reading the image
    if axis is not None:
        header.set_dim_info(frequency, phase, axis)


def mend_forms(header: Any) -> str | None:
    """Take an invalid form out of a header that has a valid one; return its name, or None.

    A header without any valid form stays as it is, so that it is refused. Spacings that are no
    numbers above 0 are taken from the sform. A quaternion that rounding made longer than 1 is
    shortened, as NIfTI's reference library does.
    """
    quaternion = np.array([header[name] for name in _QUATERNION], dtype=float)
    square = float(quaternion @ quaternion)
    if 1 < square <= 1 + _ROUNDED:
        for name, value in zip(_QUATERNION, quaternion / np.sqrt(square), strict=True):
            header[name] = value
    spacing = np.asarray(header["pixdim"][1:4], dtype=float)
    if not (np.isfinite(spacing) & (spacing > 0)).all() and _is_valid(header, "sform"):
        header["pixdim"][1:4] = np.linalg.norm(header.get_sform()[:3, :3], axis=0)
    coded = [form for form in _FIELDS if header[f"{form}_code"] != 0]
    invalid = [form for form in coded if not _is_valid(header, form)]
    if len(coded) != 2 or len(invalid) != 1:
        return None
    header[f"{invalid[0]}_code"] = 0
    for name in _FIELDS[invalid[0]]:
        header[name] = 0
    return invalid[0]


def _is_valid(header: Any, form: str) -> bool:
    """Return True if a form has a code and maps voxels to space."""
    try:
        affine, _ = getattr(header, f"get_{form}")(coded=True)
    except (ValueError, nib.spatialimages.HeaderDataError):
        return False
    return affine is not None and affine_fault(affine) is None


def affine_fault(affine: NDArray[Any]) -> str | None:
    """Return the fault of an affine that maps no voxel to its place, or None."""
    if not np.isfinite(affine).all():
        return "its affine is not finite: mend the header (sform, qform)"
    # Relative to the spacings, so that an affine in metres passes.
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    # The determinant of unit vectors is 1 if they are orthogonal, 0 if they lie in a plane.
    if not (spacing > 0).all() or abs(np.linalg.det(affine[:3, :3] / spacing)) < 1e-3:
        return "its affine is singular (axes that coincide): mend the header (sform, qform)"
    return None


@cache
def _say_once(message: str) -> None:
    """Log a warning; a file is opened several times in one run."""
    logger.warning("%s", message)
