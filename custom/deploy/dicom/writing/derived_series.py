"""Write a result as a derived MR series of the same DICOM study as its source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage, generate_uid
from pydicom.valuerep import format_number_as_ds

from custom.deploy.dicom.diffusion import Weighting
from custom.deploy.dicom.frames import Frame
from custom.deploy.dicom.header_values import integer, numbers, quiet_pydicom, value_of
from custom.deploy.dicom.volume import SeriesVolume
from custom.deploy.dicom.writing.copied_attributes import copied_header
from custom.deploy.dicom.writing.derivation import (
    Derivation,
    describe,
    equipment,
    source_items,
)
from custom.deploy.dicom.writing.output_grid import OutputGrid, grid_of
from custom.deploy.dicom.writing.stored_scale import StoredScale, scale_of
from custom.deploy.dicom.writing.windows import window_of_source, window_of_values
from custom.files.atomic import whole_folder

__all__ = ["Derivation", "write_derived"]

_PLACE = ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing", "SliceThickness")


@dataclass(frozen=True)
class _Series:
    """Attributes that all images of a derived series share."""

    derivation: Derivation
    grid: OutputGrid
    scale: StoredScale
    window: Dataset
    backwards: bool
    now: datetime
    space: UID
    # Without a prefix: a UID of a random UUID (2.25), which needs no registered root.
    uid: UID = field(default_factory=lambda: generate_uid(prefix=None))


@quiet_pydicom()
def write_derived(
    array: NDArray[Any],
    affine: NDArray[np.float64],
    source: SeriesVolume,
    folder: Path,
    derivation: Derivation,
) -> list[Path]:
    """Write a result as classic MR images, one a slice and volume.

    They have the DICOM study and frame of reference of the source (a new one, the same for all
    results of the source, if it has none), a series of their own, and the
    grid of the result. Attributes of patient, study and acquisition that stay true are copied by an
    allow-list, each from the nearest image of the source. Nothing is resampled.

    Args:
        array: ``(X, Y, Z)``, or ``(X, Y, Z, N)`` of as many volumes as the source has.
        affine: ``(4, 4)``, voxels to RAS in mm; its axes are those of the source, in any order
            and direction.
        source: The volume that it was made from.
        folder: New or empty; it is written whole or not at all.
        derivation: Kind of the result, and the bundle that made it.

    Returns:
        The files in the order of their instance numbers.

    Raises:
        InputError: If the result is not finite, or its shape or axes do not fit its source, the
            folder holds files, or the disk is full.
    """
    grid = grid_of(np.asarray(array), np.asarray(affine, dtype=float), source)
    series = _Series(
        derivation=derivation,
        grid=grid,
        scale=scale_of(grid.array, source.sources),
        window=window_of_values(grid.array),
        backwards=_runs_backwards(source.sources_of(0)),
        now=_now(source.headers[0]),
        space=source.frame_of_reference,
    )
    slices, volumes = grid.array.shape[2:]
    names = [f"{number + 1:06d}.dcm" for number in range(slices * volumes)]
    with whole_folder(Path(folder)) as temporary:
        for volume in range(volumes):
            weighting = source.weightings[volume] if volumes == len(source.weightings) else None
            for place in range(slices):
                # Instance numbers run as in the source, so that viewers scroll both alike.
                turn = slices - 1 - place if series.backwards else place
                number = volume * slices + turn
                image = _image(series, source.sources_of(volume), volume, place, number + 1)
                _write_weighting(image, weighting)
                image.save_as(temporary / names[number], enforce_file_format=True)
    return [Path(folder) / name for name in names]


def _image(
    series: _Series, sources: Sequence[Frame], volume: int, place: int, number: int
) -> Dataset:
    """Return one image."""
    grid = series.grid
    used = grid.nearest(place, sources)
    nearest = used[0]
    image = copied_header(nearest.header)
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID, image.SOPInstanceUID = MRImageStorage, generate_uid(prefix=None)
    image.Modality, image.SeriesInstanceUID = "MR", series.uid
    number_of_source = integer(nearest.header, "SeriesNumber") or 0
    image.SeriesNumber = number_of_source + series.derivation.series_number_offset
    image.InstanceNumber = number
    if not image.get(
        "FrameOfReferenceUID"
    ):  # wanted of a derived image even if the source has none
        image.FrameOfReferenceUID = series.space
        image.PositionReferenceIndicator = ""
    for name in ("InstanceCreation", "Content", "Series"):
        setattr(image, f"{name}Date", series.now.strftime("%Y%m%d"))
        setattr(image, f"{name}Time", series.now.strftime("%H%M%S.%f"))
    describe(image, series.derivation, nearest, same_grid=grid.same)
    image.SourceImageSequence = source_items(used, same_grid=grid.same)
    earlier = list(image.get("ContributingEquipmentSequence") or [])
    image.ContributingEquipmentSequence = [*earlier, equipment(series.derivation, series.now)]
    _write_place(image, grid, place, nearest)
    _write_pixels(image, series, grid.array[:, :, place, volume], nearest)
    return image


def _write_place(image: Dataset, grid: OutputGrid, place: int, nearest: Frame) -> None:
    """Write the Image Plane module (PS3.3 C.7.6.2)."""
    position, spacing = grid.position(place), grid.spacing
    image.SpacingBetweenSlices = _place(abs(float(grid.affine[:3, 2] @ grid.normal)))
    image.SliceLocation = _place(float(position @ grid.normal))
    # Type 2: must be present even if the source states none.
    image.SliceThickness = None
    if grid.same:  # to the digit, so that a viewer sees that both lie in one place
        for keyword in _PLACE:
            count = np.size(value_of(nearest.header, keyword))
            values = numbers(nearest.header, keyword, count)
            if values is not None:
                setattr(image, keyword, [_ds(value) for value in values])
        return
    image.ImageOrientationPatient = [_place(value) for value in grid.cosines]
    image.ImagePositionPatient = [_place(value) for value in position]
    # The distance of rows comes first (0028,0030).
    image.PixelSpacing = [_place(spacing[1]), _place(spacing[0])]
    thickness = numbers(nearest.header, "SliceThickness", 1)
    of_source = spacing[2] / grid.ratio if thickness is None else float(thickness[0])
    # Scaled with the step: slices that overlap or leave gaps keep doing so.
    image.SliceThickness = _place(of_source * grid.ratio)


def _write_pixels(image: Dataset, series: _Series, values: NDArray[Any], nearest: Frame) -> None:
    """Write the Image Pixel module (C.7.6.3), the rescaling and the window (C.11.2)."""
    stored = series.scale.stored(values.T)
    image.set_pixel_data(stored, "MONOCHROME2", bits_stored=16, generate_instance_uid=False)
    # dciodvfy warns of a rescaling in classic MR images: none where it would do nothing.
    if not series.scale.is_plain:
        image.RescaleSlope = _ds(series.scale.slope)
        image.RescaleIntercept = _ds(series.scale.intercept)
        image.RescaleType = "US"
    # A restored image is shown as its source is; of a map its window is in other units.
    shown = window_of_source(nearest.header) if series.derivation.is_image else None
    image.update(series.window if shown is None else shown)


def _write_weighting(image: Dataset, weighting: Weighting | None) -> None:
    """Write the diffusion weighting (C.8.13.5.9), in patient axes as it was read."""
    if weighting is None:
        return
    image.DiffusionBValue = weighting.bval
    image.DiffusionDirectionality = "DIRECTIONAL" if any(weighting.direction) else "NONE"
    if any(weighting.direction):
        image.DiffusionGradientOrientation = list(weighting.direction)


def _now(header: Dataset) -> datetime:
    """Return the time in the time zone of the DICOM study (0008,0201), else in the local one."""
    now = datetime.now(UTC).astimezone()
    try:
        zone = datetime.strptime(str(header.get("TimezoneOffsetFromUTC")), "%z").tzinfo
    except ValueError:
        return now
    return now.astimezone(zone)


def _runs_backwards(sources: Sequence[Frame]) -> bool:
    """Return True if the source counts its slices against the normal."""
    first, last = (sources[place] for place in (0, -1))
    if first.file == last.file:
        return first.index > last.index
    ends = [integer(one.header, "InstanceNumber") or 0 for one in (first, last)]
    return ends[0] > ends[1]


def _ds(value: float) -> str:
    """Return a number as a Decimal String of at most 16 characters."""
    return format_number_as_ds(float(value) + 0.0)


def _place(value: float) -> str:
    """Return a length in mm, or a cosine, as text without rounding errors in the last digits."""
    return _ds(round(float(value), 10))
