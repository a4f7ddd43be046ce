"""Tissue maps of an average human brain, from the installed package nilearn.

The maps are grey matter, white matter and the T1-weighted average of the ICBM 152 template
(2009a, nonlinear, symmetric, 1 mm), which the package nilearn (BSD-3-Clause) ships as data. They
are read from its files without importing it, and nothing is downloaded.

Source:
    Fonov et al., NeuroImage 54, 2011; copyright 1993-2009 Louis Collins, McConnell Brain Imaging
    Centre, Montreal Neurological Institute, McGill University.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from custom.errors import InputError

__all__ = ["BrainTemplate", "brain_template"]

Array = NDArray[np.float32]

_FILE = "datasets/data/mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"


@dataclass(frozen=True)
class BrainTemplate:
    """Tissue probabilities of an average brain, 0 to 1, ``(X, Y, Z)`` each."""

    grey: Array
    white: Array
    brain: Array  # 1 inside the brain, its ventricles and sulci
    to_index: NDArray[np.float64]  # ``(4, 4)``, from millimetres
    middle_mm: NDArray[np.float64]  # of the brain's box

    def sample(self, points_mm: Array) -> tuple[Array, Array, Array]:
        """Return grey matter, white matter and brain at points ``(3, ...)``, linearly."""
        to_index = self.to_index.astype(np.float32)
        index = (to_index[:3, :3] @ points_mm.reshape(3, -1) + to_index[:3, 3:]).reshape(
            points_mm.shape
        )
        grey, white, brain = (
            ndimage.map_coordinates(part, index, order=1)
            for part in (self.grey, self.white, self.brain)
        )
        return grey, white, brain


@cache
def brain_template() -> BrainTemplate:
    """Read the template.

    Raises:
        InputError: If the installed nilearn does not hold the maps.
    """
    spec = find_spec("nilearn")
    folder = Path((spec.submodule_search_locations or ["."])[0]) if spec else Path()
    images: dict[str, Any] = {}
    for kind in ("gm", "wm", "t1"):
        path = folder / _FILE.format(kind)
        if not path.is_file():
            raise InputError(f"{path} is missing: pip install 'nilearn>=0.14'")
        images[kind] = nib.load(path)
    values = {kind: np.asanyarray(image.dataobj) for kind, image in images.items()}
    inside = values["t1"] > 0
    box = [np.flatnonzero(inside.any(axis=other)) for other in ((1, 2), (0, 2), (0, 1))]
    middle = np.array([(line[0] + line[-1]) / 2 for line in box])
    affine = images["t1"].affine
    return BrainTemplate(
        grey=values["gm"].astype(np.float32) / 255,
        white=values["wm"].astype(np.float32) / 255,
        brain=inside.astype(np.float32),
        to_index=np.linalg.inv(affine),
        middle_mm=affine[:3, :3] @ middle + affine[:3, 3],
    )
