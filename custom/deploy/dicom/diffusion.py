"""Diffusion weighting of DICOM images, and their assignment to volumes."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from custom.deploy.dicom.frames import Frame
from custom.deploy.dicom.header_values import as_numbers, numbers
from custom.errors import Refusal

__all__ = ["Weighting", "fsl_directions", "volumes_of", "weighting_of"]

_COUNTS = ("AcquisitionNumber", "TemporalPositionIndex", "InstanceNumber")
_SIEMENS = (0x0019, "SIEMENS MR HEADER")


@dataclass(frozen=True)
class Weighting:
    """Diffusion weighting of an image.

    Attributes:
        bval: b-value in s/mm².
        direction: Unit vector in patient axes (LPS); zeros if there is none.
    """

    bval: float
    direction: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def is_trace(self) -> bool:
        """True for a trace or mean image, which is weighted without a direction."""
        return self.bval > 0 and not any(self.direction)


def weighting_of(header: Dataset) -> Weighting | None:
    """Return the weighting of an image; None if its header has none.

    From Diffusion b-value (0018,9087) and Diffusion Gradient Orientation (0018,9089), which are
    in patient axes (PS3.3 C.8.13.5.9), or Siemens' private block SIEMENS MR HEADER, elements
    (0019,xx0C) and (0019,xx0E).
    """
    bval = numbers(header, "DiffusionBValue", 1)
    direction = numbers(header, "DiffusionGradientOrientation", 3)
    items = header.get("DiffusionGradientDirectionSequence")
    if direction is None and items:
        direction = numbers(items[0], "DiffusionGradientOrientation", 3)
    if bval is None:
        bval, direction = _siemens(header)
    if bval is None or bval[0] < 0:
        return None
    length = 0.0 if direction is None else float(np.linalg.norm(direction))
    # Rounded, so that the slices of a volume compare equal.
    rounded = round(float(bval[0]), 2)
    # Zeros stand for no direction; half of a unit vector is far from both.
    if direction is None or bval[0] == 0 or length < 0.5:
        return Weighting(rounded)
    # Adding 0 makes a negative zero positive, so that equal directions look equal.
    x, y, z = (round(float(value), 5) + 0.0 for value in direction / length)
    return Weighting(rounded, (x, y, z))


def _siemens(header: Dataset) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Return b-value and direction of Siemens' private elements."""
    try:
        block = header.private_block(*_SIEMENS)
    except KeyError:
        return None, None
    found = [block[offset].value if offset in block else None for offset in (0x0C, 0x0E)]
    return _plain(found[0], 1), _plain(found[1], 3)


def _plain(value: Any, count: int) -> NDArray[np.float64] | None:
    """Return a private value as numbers, even if its type was lost (VR UN)."""
    if isinstance(value, bytes):
        try:
            # The b-value is a text (IS), the direction three little-endian doubles (FD).
            if count == 1:
                value = float(value.decode("ascii").strip("\0 "))
            else:
                value = struct.unpack(f"<{count}d", value)
        except (ValueError, struct.error):
            return None
    return as_numbers(value, count)


def volumes_of(
    frames: Sequence[Frame], groups: Sequence[NDArray[np.intp]]
) -> tuple[NDArray[np.intp], list[Weighting], tuple[str, ...]]:
    """Sort the images of a diffusion series into volumes.

    A volume is a b-value and a direction, and of repeated ones the first, second, ... in the
    order of acquisition at every position. Volumes stand in the order of acquisition. Trace
    images, which have no direction, are left out and reported.
    ``groups`` are the images at each position, lowest first.

    Returns:
        The image of each volume and slice, ``(N, Z)``; the weighting of each volume; warnings.

    Raises:
        Refusal: ``private-diffusion-scheme``, ``no-b-values``, ``no-directions`` or
            ``incomplete-volumes``.
    """
    weightings = _weightings(frames)
    found: dict[tuple[Weighting, int], dict[int, int]] = {}
    traces = 0
    for position, group in enumerate(groups):
        seen: Counter[Weighting] = Counter()
        for index in sorted(group.tolist(), key=lambda one: _turn(frames[one])):
            weighting = weightings[index]
            if weighting.is_trace:
                traces += 1
                continue
            volume = found.setdefault((weighting, seen[weighting]), {})
            volume[position] = index
            seen[weighting] += 1
    if not any(weighting.bval > 0 for weighting, _ in found):
        raise Refusal(
            "no-directions",
            "no image is diffusion-weighted along a direction (trace or mean images, or b = 0 "
            "alone): choose the series of the single directions",
        )
    _check_complete(found, len(groups))
    # By the image at the lowest position, which every complete volume has.
    ordered = sorted(found.items(), key=lambda item: _turn(frames[item[1][0]]))
    table = np.array([[volume[place] for place in range(len(groups))] for _, volume in ordered])
    said = f"{traces} trace images (weighted without a direction) were left out"
    return table, [weighting for (weighting, _), _ in ordered], (said,) if traces else ()


def _weightings(frames: Sequence[Frame]) -> list[Weighting]:
    """Return the weighting of every image."""
    maker = str(frames[0].header.get("Manufacturer") or "").upper()
    remedy = "convert it with dcm2niix, then run `mri-bundles restore` on the NIfTI file"
    if maker.startswith("GE"):
        raise Refusal(
            "private-diffusion-scheme",
            f"GE keeps directions in private elements and in axes of the gradients: {remedy}",
        )
    found = [weighting_of(frame.header) for frame in frames]
    unknown = sum(weighting is None for weighting in found)
    if unknown:
        raise Refusal(
            "no-b-values",
            f"{unknown} of {len(frames)} images have no b-value, neither DiffusionBValue "
            f"(0018,9087) nor Siemens' private one: if this is a diffusion series, {remedy}",
        )
    return [weighting for weighting in found if weighting is not None]


def _turn(frame: Frame) -> tuple[float, ...]:
    """Return the sort key of images by acquisition, the coarsest attribute first."""
    counts = [numbers(frame.header, keyword, 1) for keyword in _COUNTS]
    return *(0.0 if count is None else float(count[0]) for count in counts), frame.index


def _check_complete(found: dict[tuple[Weighting, int], dict[int, int]], positions: int) -> None:
    """Refuse volumes that lack slices."""
    short = [(weighting, volume) for (weighting, _), volume in found.items()]
    short = [(weighting, volume) for weighting, volume in short if len(volume) < positions]
    if short:
        weighting, volume = short[0]
        raise Refusal(
            "incomplete-volumes",
            f"{len(short)} of {len(found)} volumes lack slices: one of b = {weighting.bval:g} has "
            f"{len(volume)} of {positions}: send the whole series",
        )


def fsl_directions(
    directions: NDArray[np.float64], axes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Turn directions from patient axes (LPS) into those of FSL's text files.

    FSL counts along the axes of the voxels, and x against the first of them where the affine of
    the image (to RAS) has a positive determinant. LPS to RAS turns two axes, so the determinant
    is that of ``axes``.

    Args:
        directions: ``(N, 3)``.
        axes: ``(3, 3)``; columns are the unit vectors of the voxels' axes in LPS.

    Returns:
        ``(N, 3)``.

    Example:
        >>> fsl_directions(np.array([[1.0, 0.0, 0.0]]), np.eye(3)).tolist()
        [[-1.0, 0.0, 0.0]]
    """
    along = directions @ axes
    if np.linalg.det(axes) > 0:
        along = along * [-1.0, 1.0, 1.0]
    return np.asarray(along + 0.0)
