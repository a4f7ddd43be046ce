"""NIfTI images, and volumes or series of volumes written as such."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from custom.files.atomic import atomic_path

__all__ = ["nifti_image", "write_volume"]


def nifti_image(array: NDArray[Any], frame: NDArray[np.float64] | nib.Nifti1Header) -> Any:
    """Return an array as NIfTI in its own data type.

    Args:
        array: ``(X, Y, Z)``, or with further axes.
        frame: ``(4, 4)``, voxel index to scanner coordinates in RAS millimetres; or a header,
            of which forms and units are taken.
    """
    if isinstance(frame, nib.Nifti1Header):
        image = nib.Nifti1Image(array, None, frame)
        # nibabel would keep the data type of the given header and cast to it.
        image.header.set_data_dtype(array.dtype)
        return image
    image = nib.Nifti1Image(array, np.asarray(frame, dtype=float))
    image.header.set_xyzt_units("mm")
    # nibabel's default is an sform of code 2 (aligned) and no qform; this is the scanner's frame.
    image.set_qform(frame, code=1)
    image.set_sform(frame, code=1)
    return image


def write_volume(path: Path, array: NDArray[Any], affine: NDArray[np.float64]) -> None:
    """Write NIfTI in millimetres, whole or not at all: float32, or uint8 and int16 as they are."""
    kept = array.dtype in (np.uint8, np.int16)
    image = nifti_image(array if kept else array.astype(np.float32), affine)
    with atomic_path(path) as temporary:
        nib.save(image, temporary)
