"""Write a volume or a series of volumes as NIfTI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from custom.files.atomic import atomic_path

__all__ = ["write_volume"]


def write_volume(path: Path, array: NDArray[Any], affine: NDArray[np.float64]) -> None:
    """Write NIfTI in millimetres, whole or not at all: float32, or uint8 and int16 as they are."""
    kept = array.dtype in (np.uint8, np.int16)
    image = nib.Nifti1Image(array if kept else array.astype(np.float32), affine)
    image.header.set_xyzt_units("mm")
    with atomic_path(path) as temporary:
        nib.save(image, temporary)
