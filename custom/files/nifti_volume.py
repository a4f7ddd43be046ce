"""NIfTI images, and volumes or series of volumes written as such."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from custom.files.atomic import atomic_path
from custom.files.map_names import map_name

__all__ = [
    "header_of",
    "mm_per_unit",
    "nifti_image",
    "stated_map",
    "stated_slice_axis",
    "write_volume",
]

_STATISTICS = range(2, 25)  # intent codes: correlation, t, F, z score, ..., log10 of p
_NOT_SCALARS = range(1001, 1011)  # estimate, label, matrix, vector, ...
_LONGEST = 32767  # voxels along an axis of NIfTI-1, whose header holds 16 bits


def mm_per_unit(xyzt_units: Any) -> float:
    """Return the millimetres of one spatial unit of a header (metre, micron; else millimetre)."""
    return {1: 1e3, 3: 1e-3}.get(int(xyzt_units) & 7, 1.0)


def stated_slice_axis(dim_info: Any) -> int | None:
    """Return the axis that a header's ``dim_info`` names as the slices'; None if it names none."""
    return (int(dim_info) >> 4 & 3) - 1 if int(dim_info) >> 4 & 3 else None


def stated_map(header: Any) -> str | None:
    """Return how a header's intent says that an image is a computed map; None if it does not."""
    code = int(header["intent_code"])
    if code in _STATISTICS or code in _NOT_SCALARS:
        return f"intent code {code}, {nib.nifti1.intent_codes.label[code]}"
    name = map_name(bytes(header["intent_name"].item()).decode("latin-1"))
    return f"intent name {name}" if name else None


def header_of(shape: tuple[int, ...]) -> Any:
    """Return an empty header for an image: NIfTI-1, or NIfTI-2 for an axis too long for it."""
    header: Any = nib.Nifti2Header() if max(shape) > _LONGEST else nib.Nifti1Header()
    header.set_data_shape(shape)
    return header


def nifti_image(array: NDArray[Any], frame: NDArray[np.float64] | nib.Nifti1Header) -> Any:
    """Return an array as NIfTI in its own data type.

    Args:
        array: ``(X, Y, Z)``, or with further axes.
        frame: ``(4, 4)``, voxel index to scanner coordinates in RAS millimetres; or a header of
            :func:`header_of`, of which forms and units are taken.

    Raises:
        ValueError: If a value is NaN or infinite.
    """
    broken = array.size - int(np.isfinite(array).sum())
    if broken:
        raise ValueError(
            f"array must be finite, but {broken} of {array.size} values are NaN or infinite"
        )
    header: Any = frame if isinstance(frame, nib.Nifti1Header) else _scanner_header(array, frame)
    # nibabel would keep the data type of the given header and cast to it.
    header.set_data_dtype(array.dtype)
    kind: Any = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
    return kind(array, header.get_best_affine(), header)


def _scanner_header(array: NDArray[Any], affine: NDArray[np.float64]) -> Any:
    """Return the header of an image in the scanner's frame, in millimetres."""
    header: Any = header_of(array.shape)
    header.set_xyzt_units("mm")
    # nibabel's default for an affine is an sform of code 2 (aligned) and no qform.
    header.set_qform(np.asarray(affine, dtype=float), code=1)
    header.set_sform(np.asarray(affine, dtype=float), code=1)
    return header


def write_volume(path: Path, array: NDArray[Any], affine: NDArray[np.float64]) -> None:
    """Write NIfTI in millimetres, whole or not at all: float32, or uint8 and int16 as they are."""
    kept = array.dtype in (np.uint8, np.int16)
    image = nifti_image(array if kept else array.astype(np.float32), affine)
    with atomic_path(path) as temporary:
        nib.save(image, temporary)
