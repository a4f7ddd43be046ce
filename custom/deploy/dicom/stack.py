"""Slices in order: one image a position, equal steps, along the normal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from custom.deploy.dicom.frames import Frame
from custom.deploy.dicom.header_values import numbers, value_of
from custom.deploy.dicom.plane import ImagePlane
from custom.errors import Refusal

__all__ = ["affine_of", "by_position", "check_steps", "single_images"]

_STEP_TOLERANCE = 0.02  # of the step; rounded positions differ by less
_SHEAR = 0.01  # in-plane shift by step: 0.6 degrees
# The telling attributes first: times and instance numbers nearly always differ.
_DIFFERING = (
    "EchoTime",
    "EchoNumbers",
    "InversionTime",
    "FlipAngle",
    "DiffusionBValue",
    "DiffusionGradientOrientation",
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "TriggerTime",
    "NominalCardiacTriggerDelayTime",
    "AcquisitionNumber",
    "ImageType",
    "AcquisitionContrast",
    "ImagePositionPatient",
    "AcquisitionTime",
    "FrameAcquisitionDateTime",
    "FrameReferenceDateTime",
    "InstanceNumber",
)


def by_position(plane: ImagePlane) -> list[NDArray[np.intp]]:
    """Return the indices of the images at each position along the normal, lowest first."""
    heights = plane.heights
    # Stable: images at one height keep the order of their files.
    order = np.argsort(heights, kind="stable")
    # Differences of less than a hundredth of a pixel are rounding errors.
    apart = np.diff(heights[order]) > 0.01 * min(*plane.spacing, 1.0)
    return np.split(order, np.flatnonzero(apart) + 1)


def single_images(frames: Sequence[Frame], groups: Sequence[NDArray[np.intp]]) -> NDArray[np.intp]:
    """Return the one image of each position, ``(Z,)``.

    Raises:
        Refusal: ``duplicate-positions``, with the attribute in which the images differ.
    """
    several = [group for group in groups if len(group) > 1]
    if several:
        most = max(several, key=len)
        raise Refusal(
            "duplicate-positions",
            f"{len(several)} of {len(groups)} slice positions hold more than one image (up to "
            f"{len(most)}), {_difference([frames[index] for index in most])}: export one image a "
            "position, each echo, phase or time point as a series of its own",
        )
    return np.concatenate(groups)


def _difference(frames: Sequence[Frame]) -> str:
    """Return the attribute in which images at one position differ, in words."""
    uids = {(str(one.header.get("SOPInstanceUID")), one.index) for one in frames}
    if len(uids) < len(frames):
        return "the same image more than once"
    for keyword in _DIFFERING:
        values = sorted({str(value_of(frame.header, keyword)) for frame in frames}, key=_as_number)
        if len(values) > 1:
            shown = ", ".join(values[:4]) + (", ..." if len(values) > 4 else "")
            return f"which differ in {keyword} ({shown})"
    return "which differ in no attribute that is looked at"


def _as_number(text: str) -> tuple[float, str]:
    """Sort numbers by size, and texts after them."""
    try:
        return float(text), ""
    except ValueError:
        return np.inf, text


def _missing(count: int) -> str:
    """Return the number of missing slices, in words."""
    return "1 slice is missing" if count == 1 else f"{count} slices are missing"


def check_steps(frames: Sequence[Frame], plane: ImagePlane, order: NDArray[np.intp]) -> None:
    """Refuse a stack whose slices are not equally spaced along the normal.

    ``order`` has the indices of its images among all ``frames`` of a plane, lowest first.

    Raises:
        Refusal: ``single-slice``, ``missing-slices``, ``irregular-spacing`` or ``shear``.
    """
    if len(order) < 2:
        raise Refusal(
            "single-slice", "the series has a single slice: a volume needs 2 at the least"
        )
    positions = plane.positions[order]
    heights = positions @ plane.axes[:, 2]
    gaps = np.diff(heights)
    # The smallest: a missing slice only makes a gap larger.
    step = float(gaps.min())
    # Not below 1e-3 mm, the rounding of positions in headers.
    odd = np.abs(gaps - step) > max(_STEP_TOLERANCE * step, 1e-3)
    if odd.any():
        _refuse_gaps(heights, gaps, step, odd)
    _check_header_spacing(frames[order[0]], float(gaps.mean()), len(order))
    _check_straight(plane, positions)


def _refuse_gaps(
    heights: NDArray[np.float64], gaps: NDArray[np.float64], step: float, odd: NDArray[np.bool_]
) -> None:
    """Refuse a stack with missing slices or irregular steps."""
    multiples = gaps / step
    first = int(np.flatnonzero(odd)[0])
    if (np.abs(multiples - multiples.round()) < 0.05).all():
        missing = int((multiples.round() - 1).sum())
        raise Refusal(
            "missing-slices",
            f"{_missing(missing)}: after slice {first + 1} of {len(heights)} "
            f"({heights[first]:.1f} mm along the normal) the gap is {gaps[first]:.4g} mm and not "
            f"{step:.4g} mm: send the whole series",
        )
    raise Refusal(
        "irregular-spacing",
        f"the slices are not equally spaced: the steps are {gaps.min():.4g} to {gaps.max():.4g} mm "
        f"(first odd one after slice {first + 1} of {len(heights)}): choose one of equal steps",
    )


def _check_header_spacing(frame: Frame, step: float, count: int) -> None:
    """Refuse a stack of which every other slice is missing, by the step in the header.

    Some scanners write the gap between slices into Spacing Between Slices (0018,0088), so a value
    below the slice thickness is ignored.
    """
    spacing = numbers(frame.header, "SpacingBetweenSlices", 1)
    thickness = numbers(frame.header, "SliceThickness", 1)
    if spacing is None or thickness is None or not 0 < thickness[0] <= 1.001 * spacing[0]:
        return
    multiple = step / float(spacing[0])
    if multiple > 1.5 and abs(multiple - round(multiple)) < 0.05:
        raise Refusal(
            "missing-slices",
            f"{_missing((round(multiple) - 1) * (count - 1))}: the step is {step:.4g} mm, "
            f"and SpacingBetweenSlices (0018,0088) {spacing[0]:.4g} mm: send the whole series",
        )


def _check_straight(plane: ImagePlane, positions: NDArray[np.float64]) -> None:
    """Refuse slices that are shifted against each other within their plane."""
    step = (positions[-1] - positions[0]) / (len(positions) - 1)
    across, along = step @ plane.axes[:, :2], step @ plane.axes[:, 2]
    if np.linalg.norm(across) > _SHEAR * along:
        angle = np.degrees(np.arctan2(np.linalg.norm(across), along))
        raise Refusal(
            "shear",
            f"the slices are sheared by {angle:.1f} degrees, as a tilted gantry does it: a box of "
            "voxels cannot hold them; resample the series first",
        )
    line = positions[0] + np.arange(len(positions))[:, None] * step
    off = np.linalg.norm((positions - line) @ plane.axes[:, :2], axis=1).max()
    if off > 0.1 * min(plane.spacing):
        raise Refusal(
            "irregular-spacing",
            f"slices are shifted within their plane by up to {off:.3g} mm: choose a series whose "
            "slices lie on one line",
        )


def affine_of(plane: ImagePlane, order: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the affine from (column, row, slice) to patient axes (LPS), ``(4, 4)`` in mm.

    PS3.3 C.7.6.2.1.1, equation C.7.6.2.1-1, with the step between slices as third column.
    """
    positions = plane.positions[order]
    affine = np.eye(4)
    affine[:3, 0] = plane.axes[:, 0] * plane.spacing[0]
    affine[:3, 1] = plane.axes[:, 1] * plane.spacing[1]
    # From end to end, not of one gap: the rounding of positions is divided by their number.
    affine[:3, 2] = (positions[-1] - positions[0]) / (len(positions) - 1)
    affine[:3, 3] = positions[0]
    return affine
