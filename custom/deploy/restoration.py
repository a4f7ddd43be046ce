"""A volume restored by a bundle's own inference workflow, as ``restore`` does it with a file."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from custom.bundle.launch import run_bundle
from custom.bundle.typed_values import as_data
from custom.data.inputs.result_names import RESTORED, map_of, sidecar_of
from custom.deploy.bundle_forms import OpenBundle, importable
from custom.deploy.dicom.volume import write_nifti
from custom.errors import InputError

if TYPE_CHECKING:
    from custom.deploy.dicom.volume import SeriesVolume

__all__ = ["RestoredVolumes", "restore_volume"]

# Name of the temporary files, without patient data.
_NAME = "series"


@dataclass(frozen=True)
class RestoredVolumes:
    """Images of a series restored by a bundle.

    Attributes:
        images: Images by name (``restored``, ``noise``, ...): values ``(X, Y, Z[, N])`` in
            the input's units and the affine ``(4, 4)`` of their grid, in mm.
        sidecar: The bundle's sidecar of the run.
    """

    images: Mapping[str, tuple[NDArray[np.float32], NDArray[np.float64]]]
    sidecar: Mapping[str, Any]


def restore_volume(
    volume: SeriesVolume,
    bundle: OpenBundle,
    workspace: Path,
    overlays: Sequence[str] = (),
    overrides: Mapping[str, Any] | None = None,
    maps: Sequence[str] = (),
) -> RestoredVolumes:
    """Restore a volume by the bundle's ``inference`` config.

    The volume is passed as a NIfTI file in ``workspace``, so that the result is bit for bit that of
    ``mri-bundles restore`` for this file: checks, tiling, iterative samplers, maps and the finer
    grid are the bundle's own. The SDK's bundle operator supports none of these, and casts images to
    bytes.

    The files are left in ``workspace``, a private folder. Overlays stand after ``inference``; of
    the maps that the bundle writes those of ``maps`` are returned.

    Raises:
        InputError: If the bundle refuses the volume, an overlay or an id.
    """
    # Uncompressed, since it is read once and removed.
    source = workspace / f"{_NAME}.nii"
    write_nifti(volume, source)
    output = workspace / "restored"
    settings = {**bundle.overrides, **(overrides or {})}
    # Last: no override may lead a patient's image out of the private folder.
    settings |= {"input": as_data(str(source)), "output_dir": as_data(str(output))}
    with importable(bundle):
        try:
            run_bundle(bundle.root, ["inference", *overlays], settings)
        except InputError as error:
            # The path of the temporary file is meaningless to the user.
            raise InputError(str(error).replace(f"{source}: ", "")) from error
    result = output / f"{_NAME}{RESTORED}.nii.gz"
    if not result.is_file():
        raise InputError(f"the bundle {bundle.about['id']} wrote no restored image")
    images = {"restored": _read(result)}
    for name in maps:
        if map_of(result, name).is_file():
            images[name] = _read(map_of(result, name))
    logging.getLogger(__name__).info("restored: %s", ", ".join(images))
    return RestoredVolumes(images, json.loads(sidecar_of(result).read_text(encoding="utf-8")))


def _read(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Read an image and its affine."""
    image: Any = nib.load(path)
    return np.asarray(image.dataobj, dtype=np.float32), np.asarray(image.affine, dtype=float)
