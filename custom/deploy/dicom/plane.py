"""The plane and pixel grid that all images of a stack share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.datadict import tag_for_keyword

from custom.deploy.dicom.frames import Frame
from custom.deploy.dicom.header_values import numbers
from custom.errors import Refusal

__all__ = ["ImagePlane", "common_plane"]

_COSINE_TOLERANCE = 1e-3  # headers hold four to six digits
_SPACING_TOLERANCE = 1e-3  # relative
_NEEDED = {
    "Rows": 1,
    "Columns": 1,
    "PixelSpacing": 2,
    "ImageOrientationPatient": 6,
    "ImagePositionPatient": 3,
}


@dataclass(frozen=True)
class ImagePlane:
    """The Image Plane module (PS3.3 C.7.6.2) of a stack, in patient axes (LPS), mm.

    Attributes:
        axes: ``(3, 3)``; columns are the unit vectors of rising column index, rising row index,
            and the normal, their cross product.
        spacing: Distance of neighbouring columns, and of rows. Pixel Spacing (0028,0030) has
            them the other way round.
        shape: Number of columns, and of rows.
        positions: ``(F, 3)``, the centre of the first pixel of each image.
    """

    axes: NDArray[np.float64]
    spacing: tuple[float, float]
    shape: tuple[int, int]
    positions: NDArray[np.float64]

    @property
    def heights(self) -> NDArray[np.float64]:
        """Positions along the normal, ``(F,)`` in mm."""
        return np.asarray(self.positions @ self.axes[:, 2])


def common_plane(frames: Sequence[Frame]) -> ImagePlane:
    """Return the plane of a stack.

    Raises:
        Refusal: ``missing-attribute``, ``differing-grid``, ``invalid-orientation``,
            ``several-orientations``, ``several-frames-of-reference``, or ``localiser`` if there
            are orientations at right angles.
    """
    table = {keyword: _column(frames, keyword, count) for keyword, count in _NEEDED.items()}
    for keyword in ("Rows", "Columns", "PixelSpacing"):
        values = table[keyword]
        if (values <= 0).any():
            raise Refusal("missing-attribute", f"{_name(keyword)} is not positive: export it again")
        if (np.abs(values - values[0]) > _SPACING_TOLERANCE * values[0]).any():
            kinds = np.unique(values.round(4), axis=0).tolist()
            raise Refusal(
                "differing-grid",
                f"{_name(keyword)} differs between the images ({_short(kinds)}): export one grid a "
                "series",
            )
    _check_frames_of_reference(frames)
    rows, columns = int(table["Rows"][0, 0]), int(table["Columns"][0, 0])
    row_spacing, column_spacing = table["PixelSpacing"][0]
    return ImagePlane(
        axes=_axes(table["ImageOrientationPatient"]),
        spacing=(float(column_spacing), float(row_spacing)),
        shape=(columns, rows),
        positions=table["ImagePositionPatient"],
    )


def _column(frames: Sequence[Frame], keyword: str, count: int) -> NDArray[np.float64]:
    """Return an attribute of all images, ``(F, count)``."""
    values = [numbers(frame.header, keyword, count) for frame in frames]
    missing = sum(value is None for value in values)
    if missing:
        raise Refusal(
            "missing-attribute",
            f"{_name(keyword)} is missing or unreadable in {missing} of {len(frames)} images: "
            "export the series as it came from the scanner",
        )
    return np.stack([value for value in values if value is not None])


def _axes(orientations: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the one orientation of all images as unit vectors, ``(3, 3)``."""
    rows, columns = orientations[:, :3], orientations[:, 3:]
    lengths = np.stack([np.linalg.norm(rows, axis=1), np.linalg.norm(columns, axis=1)])
    skew = np.abs((rows * columns).sum(1))
    # Wide: rounding is mended below, this is for headers that hold something else.
    if (np.abs(lengths - 1) > 1e-2).any() or (skew > 1e-2).any():
        raise Refusal(
            "invalid-orientation",
            f"{_name('ImageOrientationPatient')} is not two unit vectors at right angles: export "
            "the series as it came from the scanner",
        )
    normals = np.cross(rows, columns)
    if (np.abs(orientations - orientations[0]) > _COSINE_TOLERANCE).any():
        # Coarser than the tolerance, so that rounding makes no further orientations.
        kinds = np.unique(orientations.round(2), axis=0)
        # Within 6 degrees of a right angle.
        if (np.abs(normals @ normals[0]) < 0.1).any():
            raise Refusal(
                "localiser",
                f"the series holds planes at right angles ({len(kinds)} orientations), as a "
                "localiser does: choose a series of parallel slices",
            )
        raise Refusal(
            "several-orientations",
            f"the images have {len(kinds)} orientations: export one stack of parallel slices a "
            "series",
        )
    # Headers hold rounded cosines: the nearest rotation.
    left, _, right = np.linalg.svd(np.stack([rows[0], columns[0], normals[0]], axis=1))
    return np.asarray(left @ right)


def _check_frames_of_reference(frames: Sequence[Frame]) -> None:
    """Refuse positions that are not in one space."""
    spaces = {str(frame.header.get("FrameOfReferenceUID") or "") for frame in frames}
    if len(spaces) > 1:
        raise Refusal(
            "several-frames-of-reference",
            f"the images have {len(spaces)} frames of reference (0020,0052), so that their "
            "positions do not compare: export one stack a series",
        )


def _name(keyword: str) -> str:
    """Return an attribute with its tag, ``PixelSpacing (0028,0030)``."""
    tag = tag_for_keyword(keyword) or 0
    return f"{keyword} ({tag >> 16:04X},{tag & 0xFFFF:04X})"


def _short(values: Sequence[object]) -> str:
    """Return the first few values."""
    text = ", ".join(str(value) for value in values[:3])
    return text + (", ..." if len(values) > 3 else "")
