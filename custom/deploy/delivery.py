"""Derived series in a folder, all of them or none."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from custom.deploy.dicom.derived_series import Derivation, write_derived
from custom.deploy.dicom.whole_folder import whole_folder

if TYPE_CHECKING:
    from custom.deploy.bundle_forms import OpenBundle
    from custom.deploy.dicom.volume import SeriesVolume
    from custom.deploy.restoration import RestoredVolumes

__all__ = ["deliver"]

_MADE = {
    "restored": "Image restored by a neural network.",
    "uncertainty": "Standard deviation of an image that a neural network restored.",
    "difference": "What a neural network changed in an image.",
}


def deliver(
    restored: RestoredVolumes, source: SeriesVolume, bundle: OpenBundle, output: Path
) -> dict[str, list[Path]]:
    """Write each image as a series, in a folder of its name.

    All series are written before the first folder takes its name, so that a full disk or a killed
    run leaves no result without its uncertainty.

    Args:
        restored: The images.
        source: What they were made from.
        bundle: By which.
        output: Folder of the folders.

    Returns:
        The files of each series, by the name of the image.

    Raises:
        InputError: If a folder exists and is not empty, or cannot be written.
    """
    written = {}
    weights = str(restored.sidecar.get("weights", {}).get("sha256", ""))
    with ExitStack() as folders:
        for name, (array, affine) in restored.images.items():
            folder = folders.enter_context(whole_folder(output / name))
            derivation = Derivation(
                what=name,
                bundle=bundle.about["id"],
                version=bundle.about["version"],
                weights_sha256=weights,
                description=_MADE.get(name, f"Map of a restoration: {name}.")
                + " Not for diagnosis.",
            )
            files = write_derived(array, affine, source, folder, derivation)
            written[name] = [output / name / file.name for file in files]
    return written
