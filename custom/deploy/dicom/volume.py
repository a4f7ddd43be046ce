"""A series as a volume, or a diffusion series as its volumes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import UID, generate_uid

from custom.deploy.dicom.diffusion import Weighting, fsl_directions, volumes_of
from custom.deploy.dicom.frames import Frame, frames_of
from custom.deploy.dicom.header_values import numbers, quiet_pydicom, value_of
from custom.deploy.dicom.image_checks import check_identity, check_images
from custom.deploy.dicom.pixel_values import decode
from custom.deploy.dicom.plane import ImagePlane, common_plane
from custom.deploy.dicom.series import DicomSeries
from custom.deploy.dicom.stack import affine_of, by_position, check_steps, single_images
from custom.errors import Refusal
from custom.files.image_faults import available_memory, memory_fault
from custom.files.map_names import DerivedMaps
from custom.files.nifti_volume import write_volume

__all__ = ["LPS_TO_RAS", "SeriesVolume", "series_volume", "write_nifti"]

# The volume and its copy while it is written; measured: 31 bytes for each pixel that is decoded.
_BYTES_A_VOXEL, _BYTES_OF_DECODING = 8, 32
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class SeriesVolume:
    """The voxels of a series, in the order of DICOM: columns, rows, slices along the normal.

    Attributes:
        array: ``(X, Y, Z)``, or ``(X, Y, Z, N)`` of a diffusion series; float32, in the units of
            the rescaled pixels.
        affine: ``(4, 4)`` float64 from voxels to RAS in mm, as in NIfTI; its determinant is
            positive.
        sources: The image that each slice came from, volume by volume: ``N * Z`` of them. Not
            shown in the text form, since they hold the patient's attributes.
        sha256: SHA-256 of the stored pixels, the attributes that define their meaning, the geometry
            and the diffusion weighting; not of file names, compression or patient attributes.
        bvals: ``(N,)`` in s/mm²; None without diffusion weighting.
        bvecs: ``(N, 3)`` in FSL's axes (those of the voxels, the first one reversed); None without
            diffusion weighting.
        weightings: b-value and direction in patient axes of each volume; empty without diffusion
            weighting.
        warnings: Warnings, a line each.
    """

    array: NDArray[np.float32] = field(repr=False)
    affine: NDArray[np.float64]
    sources: tuple[Frame, ...] = field(repr=False)
    sha256: str
    bvals: NDArray[np.float64] | None = None
    bvecs: NDArray[np.float64] | None = None
    weightings: tuple[Weighting, ...] = ()
    warnings: tuple[str, ...] = ()

    @cached_property
    def frame_of_reference(self) -> UID:
        """Frame of Reference UID (0020,0052) of the source, else a new one for all its results."""
        with quiet_pydicom():
            stated = value_of(self.sources[0].header, "FrameOfReferenceUID")
        # Without a prefix: a UID of a random UUID (2.25), which needs no registered root.
        return UID(stated) if stated else generate_uid(prefix=None)

    @property
    def headers(self) -> tuple[Dataset, ...]:
        """The attributes of the images in ``sources``."""
        return tuple(source.header for source in self.sources)

    @property
    def echo_time_ms(self) -> float | None:
        """Echo Time (0018,0081) of the first image; None if it has none, or no number."""
        with quiet_pydicom():
            found = numbers(self.sources[0].header, "EchoTime", 1)
        return None if found is None else float(found[0])

    def sources_of(self, volume: int) -> tuple[Frame, ...]:
        """Return the images of the slices of one volume, lowest first."""
        count = self.array.shape[2]
        return self.sources[volume * count : (volume + 1) * count]


@quiet_pydicom()
def series_volume(
    series: DicomSeries,
    kind: str,
    *,
    lossy: Literal["refuse", "warn"] = "refuse",
    derived_maps: DerivedMaps = "refuse",
) -> SeriesVolume:
    """Check a series, then decode it.

    ``kind`` is ``volume`` or ``diffusion``; ``lossy`` concerns pixels compressed with loss,
    ``derived_maps`` maps computed from images.

    Raises:
        Refusal: If the series is no equally spaced stack of magnitude images, one a position (and
            diffusion weighting), that can be decoded here.
        ValueError: If ``kind`` is something else.
    """
    if kind not in ("volume", "diffusion"):
        raise ValueError(f"kind must be volume or diffusion, got {kind!r}")
    frames = frames_of(series)
    check_identity(frames)
    doubts = check_images(frames, lossy, derived_maps)
    plane = common_plane(frames)
    groups = by_position(plane)
    weightings: list[Weighting] = []
    if kind == "diffusion":
        table, weightings, more = volumes_of(frames, groups)
        doubts += more
    else:
        table = single_images(frames, groups)[None]
    for order in table:
        check_steps(frames, plane, order)
    _check_memory(plane, table.size)
    affine = affine_of(plane, table[0])
    array, digest = _decoded([frames[index] for index in table.flat], plane, table.shape)
    bvals = np.array([one.bval for one in weightings])
    directions = np.array([one.direction for one in weightings])
    # Rounded and without negative zeros, so that equal geometry gives an equal hash.
    for part in (affine.round(6) + 0.0, bvals, directions):
        digest.update(np.ascontiguousarray(part, dtype="<f8").tobytes())
    diffusion = kind == "diffusion"
    return SeriesVolume(
        array=array if diffusion else array[..., 0],
        affine=LPS_TO_RAS @ affine,
        sources=tuple(frames[index] for index in table.flat),
        sha256=digest.hexdigest(),
        bvals=bvals if diffusion else None,
        bvecs=fsl_directions(directions, plane.axes) if diffusion else None,
        weightings=tuple(weightings),
        warnings=doubts,
    )


def _check_memory(plane: ImagePlane, images: int) -> None:
    """Refuse a series whose headers declare more pixels than the memory can hold."""
    pixels = plane.shape[0] * plane.shape[1]
    needed = pixels * (_BYTES_A_VOXEL * images + _BYTES_OF_DECODING)
    remedy = "send fewer images, or use a larger machine"
    fault = memory_fault(needed, available_memory(), remedy)
    if fault is not None:
        columns, rows = plane.shape
        raise Refusal("too-large", f"{images} images of {columns} x {rows} pixels are {fault}")


def _decoded(
    frames: Sequence[Frame], plane: ImagePlane, shape: tuple[int, ...]
) -> tuple[NDArray[np.float32], hashlib._Hash]:
    """Return the voxels ``(X, Y, Z, N)`` of ``N * Z`` images, and a hash of the stored values."""
    volumes, slices = shape
    # In this order each slice is one block of memory.
    array = np.empty((*plane.shape, slices, volumes), dtype=np.float32, order="F")
    digests = [b""] * len(frames)
    for index, values, digest in decode(frames):
        array[:, :, index % slices, index // slices] = values
        # By place: the hash must not depend on the order in which files are decoded.
        digests[index] = digest
    return array, hashlib.sha256(b"".join(digests))


def write_nifti(volume: SeriesVolume, path: Path) -> None:
    """Write a volume as NIfTI, and the tables of a diffusion series beside it in FSL's form.

    Raises:
        InputError: If the disk is full; no file is left half written.
    """
    if volume.bvals is not None and volume.bvecs is not None:
        from custom.physics.diffusion.gradient_table import GradientTable  # it imports torch

        GradientTable(volume.bvals, volume.bvecs).write_beside(path)
    write_volume(path, volume.array, volume.affine)
