"""Derived series in a folder, all of them or none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from custom.deploy.dicom.writing.derived_series import Derivation, write_derived
from custom.errors import InputError
from custom.files.atomic import atomic_path, whole_folder

if TYPE_CHECKING:
    from custom.bundle.metadata_entries import ResultMap
    from custom.deploy.dicom.volume import SeriesVolume
    from custom.deploy.restoration import RestoredVolumes

__all__ = ["ABOUT", "deliver"]

ABOUT = "restoration.json"


def deliver(
    restored: RestoredVolumes,
    source: SeriesVolume,
    about: Mapping[str, Any],
    output: Path,
    maps: Mapping[str, ResultMap],
) -> dict[str, list[Path]]:
    """Write each image as a series, in a folder of its name, and the description of the run.

    All is written before the first folder gets its final name, so that a full disk or a killed run
    leaves no result without its maps or its description.
    ``about`` has ``bundle`` (id, version, sha256), ``model`` (which of its models), and more for
    ``restoration.json``. The files of each series are returned by the name of the image.

    Raises:
        InputError: If a folder exists and is not empty, or cannot be written.
    """
    written = {}
    try:
        with ExitStack() as places:
            # Entered first, so it gets its name last: where it stands, all series are whole.
            description = places.enter_context(atomic_path(output / ABOUT))
            for name, (array, affine) in restored.images.items():
                folder = places.enter_context(whole_folder(output / name))
                derivation = _derivation(name, restored, about, maps)
                files = write_derived(array, affine, source, folder, derivation)
                written[name] = [output / name / file.name for file in files]
            content = _description(restored, about, written)
            description.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{output} cannot be written: {error.strerror or error}") from error
    return written


def _derivation(
    name: str,
    restored: RestoredVolumes,
    about: Mapping[str, Any],
    maps: Mapping[str, ResultMap],
) -> Derivation:
    """Return the derivation for the headers of a series."""
    derivation = Derivation(
        what=name,
        bundle=about["bundle"]["id"],
        version=about["bundle"]["version"],
        model=about["model"],
        weights_sha256=str(restored.sidecar.get("weights", {}).get("sha256", "")),
        description="Image restored by a neural network. Not for diagnosis.",
    )
    if derivation.is_image:
        return derivation
    return replace(
        derivation,
        description=f"{maps[name].description} Not for diagnosis.",
        code=maps[name].code,
        series_number_offset=maps[name].series_number_offset,
    )


def _description(
    restored: RestoredVolumes, about: Mapping[str, Any], written: Mapping[str, list[Path]]
) -> dict[str, Any]:
    """Return the bundle's sidecar without the temporary files, with the application's entries."""
    # Entries with a file name the private workspace, which is removed.
    kept = {
        key: value
        for key, value in restored.sidecar.items()
        if key != "read_besides"
        and (key == "weights" or not (isinstance(value, dict) and "file" in value))
    }
    bundle = {**kept.get("bundle", {}), **about["bundle"]}
    series = {name: len(files) for name, files in written.items()}
    return {**kept, **about, "bundle": bundle, "series": series}
