"""The brain of a volume: what is not 0, or as a tool finds it."""

from __future__ import annotations

import logging
import shutil
import subprocess
from collections.abc import Hashable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from numpy.typing import NDArray
from scipy import ndimage

from custom.errors import InputError
from custom.setting_checks import check_choice

__all__ = ["WAYS", "BrainMaskd"]

logger = logging.getLogger(__name__)

WAYS = ("auto", "stripped", "synthstrip")
_SYNTHSTRIP = "mri_synthstrip"
_STRIPPED = 0.2  # share of voxels that are exactly 0 in a volume without its skull
_LARGEST = 2.2  # litres; brains have up to 2, heads whose air was set to 0 three and more


class BrainMaskd(MapTransform):
    """Find the brain of volumes, for models that see brains alone.

    ``stripped`` takes all voxels that are not 0, with the holes in them; ``synthstrip`` runs
    FreeSurfer's ``mri_synthstrip``; ``auto`` is ``stripped`` where a fifth of the voxels or more
    are exactly 0 and the others are no larger than a brain, else ``synthstrip``.

    Args:
        keys: Volumes with an affine.
        way: One of :data:`WAYS`.
        name: Key of the mask, uint8. The way it was found is stored under ``f"{name}_by"``.

    Shape:
        ``(1, X, Y, Z)``.

    Raises:
        ValueError: If the way is unknown.
        InputError: At the call, if no way finds a brain.
    """

    def __init__(self, keys: KeysCollection, way: str = "auto", name: str = "mask") -> None:
        super().__init__(keys)
        check_choice("brain", way, WAYS)
        self.way, self.name = way, name

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add the masks."""
        result = dict(data)
        for key in self.key_iterator(result):
            volume = data[key]
            values = np.asarray(torch.as_tensor(volume).cpu())[0]
            mask, way = _not_zero(values), self.way
            if way == "auto":
                litres = mask.sum() * float(np.abs(np.linalg.det(volume.affine[:3, :3]))) / 1e6
                fits = np.mean(values == 0) >= _STRIPPED and litres <= _LARGEST
                way = "stripped" if fits else "synthstrip"
            if way == "synthstrip":
                mask = _synthstrip(volume)
            if not mask.any():
                raise InputError("no brain was found in it")
            result[self.name] = MetaTensor(
                torch.from_numpy(mask[None].astype(np.uint8)), affine=volume.affine
            )
            result[f"{self.name}_by"] = way
        return result


def _not_zero(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return the largest piece of the voxels that are not 0, with its holes."""
    pieces, count = ndimage.label(values != 0)
    if count > 1:
        pieces = pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])
    return np.asarray(ndimage.binary_fill_holes(pieces > 0))


def _synthstrip(volume: MetaTensor) -> NDArray[np.bool_]:
    """Return the mask of FreeSurfer's SynthStrip."""
    program = shutil.which(_SYNTHSTRIP)
    if program is None:
        raise InputError(
            "a whole head: strip its skull first (all outside the brain 0), or put FreeSurfer's "
            f"{_SYNTHSTRIP} on the PATH"
        )
    with TemporaryDirectory() as folder:
        head, mask = Path(folder) / "head.nii.gz", Path(folder) / "mask.nii.gz"
        values = np.asarray(torch.as_tensor(volume).cpu(), np.float32)[0]
        nib.save(nib.Nifti1Image(values, np.asarray(volume.affine)), head)
        done = subprocess.run(
            [program, "-i", str(head), "-m", str(mask)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode or not mask.is_file():
            said = (done.stderr or done.stdout).strip().splitlines()[-1:]
            raise InputError(f"{_SYNTHSTRIP} failed: {' '.join(said) or done.returncode}")
        found: Any = nib.load(mask)
        return np.asarray(found.dataobj) > 0
