"""Choose the fast and the default scan of each animal, plane and region, and pair them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from custom.data.preparation.scans.scan_description import LeftOut, ScanDescription

__all__ = ["GridFit", "ScanPair", "fit_grids", "name_regions", "pair_scans"]

# Far above the rounding of headers; two thirds of a voxel at the edge of 150 voxels.
_ANGLE_DEG = 0.5
_RELATIVE = 0.01  # of the field of view and the slice distance; rounding is far smaller


@dataclass(frozen=True)
class GridFit:
    """Position of the default scan's grid relative to the fast scan's box.

    Args:
        fault: Reason why they cannot be paired, or None.
        shift_voxels: Start of the fast scan's box on the default scan's grid, in voxels of that
            grid along its two image axes. Zero if both boxes are the same.
    """

    fault: str | None
    shift_voxels: tuple[float, float] = (0.0, 0.0)


def fit_grids(
    fast: ScanDescription,
    default: ScanDescription,
    in_plane_tolerance: float = 0.5,
    slice_tolerance: float = 0.1,
) -> GridFit:
    """Compare the grids of two scans.

    ParaVision puts voxel N/2 of every matrix in the middle of the field of view, so a matrix of
    twice the size lies a quarter of a coarse voxel further along both axes. That is within the
    default tolerance, and is returned as a shift of -0.5 fine voxels.

    Args:
        fast: The coarse scan.
        default: The fine scan.
        in_plane_tolerance: Largest shift of the boxes in the plane, in voxels of the fast scan.
        slice_tolerance: Largest shift across the plane, in slice distances.
    """
    fault = _size_fault(fast, default) or _direction_fault(fast, default)
    if fault is not None:
        return GridFit(fault)
    to_fine = np.linalg.inv(default.affine) @ fast.affine
    # The middles are compared, so that small differences of spacing do not accumulate on one side.
    middle = np.append((np.asarray(fast.size) - 1) / 2, 1)
    offset = (to_fine @ middle)[:3] - (np.asarray(default.size) - 1) / 2
    across = abs(offset[2]) * fast.spacing_mm[2]
    if abs(offset[2]) > slice_tolerance:
        return GridFit(f"its slices lie {across:.2g} mm off those of {fast.source}")
    # The tolerance counts voxels of the fast scan; these are half as large.
    if np.abs(offset[:2]).max() > 2 * in_plane_tolerance:
        moved = np.hypot(*(offset[:2] * default.spacing_mm[:2]))
        return GridFit(f"its field of view lies {moved:.2g} mm off that of {fast.source}")
    return GridFit(None, (float(offset[0]), float(offset[1])))


def _size_fault(fast: ScanDescription, default: ScanDescription) -> str | None:
    """Compare the numbers of voxels."""
    if default.size[2] != fast.size[2]:
        return f"it has {default.size[2]} slices, {fast.source} has {fast.size[2]}"
    if any(default.size[axis] != 2 * fast.size[axis] for axis in (0, 1)):
        fine, coarse = _product(default.size[:2]), _product(fast.size[:2])
        return f"its matrix {fine} is not twice {coarse} of {fast.source}"
    return None


def _direction_fault(fast: ScanDescription, default: ScanDescription) -> str | None:
    """Compare directions and lengths of the axes."""
    directions = [scan.affine[:3, :3] / scan.spacing_mm for scan in (fast, default)]
    cosines = np.clip((directions[0] * directions[1]).sum(axis=0), -1, 1)
    angle = float(np.degrees(np.arccos(cosines.min())))
    if angle > _ANGLE_DEG:
        return f"its orientation differs by {angle:.1f} degrees from {fast.source}"
    fov = [scan.spacing_mm[:2] * scan.size[:2] for scan in (fast, default)]
    if np.abs(fov[1] / fov[0] - 1).max() > _RELATIVE:
        return (
            f"its field of view is {_millimetres(fov[1])}, {_millimetres(fov[0])} in {fast.source}"
        )
    distance = default.spacing_mm[2] / fast.spacing_mm[2]
    if abs(distance - 1) > _RELATIVE:
        return f"its slice distance is {distance:.3g} times that of {fast.source}"
    return None


def _product(lengths: tuple[int, ...]) -> str:
    """Write lengths as a product."""
    return " x ".join(map(str, lengths))


def _millimetres(lengths: NDArray[np.float64]) -> str:
    """Write lengths in millimetres."""
    return " x ".join(f"{length:.4g}" for length in lengths) + " mm"


@dataclass(frozen=True, eq=False)
class ScanPair:
    """A fast scan and the default scan of the same box.

    Args:
        fast: The coarse, noisy scan.
        default: The fine scan, of twice the matrix.
        shift_voxels: See :class:`custom.data.preparation.scans.scan_pairing.GridFit`.
    """

    fast: ScanDescription
    default: ScanDescription
    shift_voxels: tuple[float, float]

    @property
    def scan_id(self) -> str:
        """``<animal>_<plane>_<region>``."""
        return self.fast.scan_id


def pair_scans(
    scans: Iterable[ScanDescription],
    default_region: str = "body",
    in_plane_tolerance: float = 0.5,
    slice_tolerance: float = 0.1,
) -> tuple[list[ScanPair], list[LeftOut]]:
    """Make at most one pair for each animal, plane and region.

    The fast scan has the fewest averages and among those the smallest matrix, the default scan the
    most and the largest, unless the names of the files give the kind. Of scans with the same
    parameters the latest that fits is used, since a scan is repeated when the first was bad.

    Args:
        scans: The scans to pair.
        default_region: Name of a region that no pattern matches; see :func:`name_regions`.
        in_plane_tolerance: See :func:`custom.data.preparation.scans.scan_pairing.fit_grids`.
        slice_tolerance: See there.

    Returns:
        The pairs in the order of their names, and every other scan with the reason.
    """
    groups: dict[str, list[ScanDescription]] = {}
    for scan in name_regions(scans, default_region):
        groups.setdefault(scan.scan_id, []).append(scan)
    pairs: list[ScanPair] = []
    left_out: list[LeftOut] = []
    for name in sorted(groups):
        pair, rest = _pair_group(groups[name], in_plane_tolerance, slice_tolerance)
        pairs += [pair] if pair else []
        left_out += rest
    return pairs, left_out


def name_regions(scans: Iterable[ScanDescription], default_region: str) -> list[ScanDescription]:
    """Give a region to scans without one.

    Where an animal was scanned at several places along the body in one plane, the places are
    numbered from the head: ``body-1``, ``body-2``. Places are the same if their middles are less
    than a quarter of the field of view apart.

    Args:
        scans: Scans, of which some have an empty ``region``.
        default_region: The name to give.
    """
    named: list[ScanDescription] = []
    groups: dict[tuple[str, str], list[ScanDescription]] = {}
    for scan in scans:
        if scan.region:
            named.append(scan)
        else:
            groups.setdefault((scan.animal, scan.plane), []).append(scan)
    for group in groups.values():
        places = _places(sorted(group, key=lambda scan: -scan.centre_mm[2]))
        for number, place in enumerate(places, start=1):
            region = f"{default_region}-{number}" if len(places) > 1 else default_region
            named += [replace(scan, region=region) for scan in place]
    return named


def _places(scans: Sequence[ScanDescription]) -> list[list[ScanDescription]]:
    """Split scans that are sorted from the head to the tail into places."""
    places: list[list[ScanDescription]] = []
    for scan in scans:
        quarter = abs(scan.affine[2, :3]) @ scan.size / 4
        if places and places[-1][0].centre_mm[2] - scan.centre_mm[2] < quarter:
            places[-1].append(scan)
        else:
            places.append([scan])
    return places


def _pair_group(
    group: list[ScanDescription], in_plane_tolerance: float, slice_tolerance: float
) -> tuple[ScanPair | None, list[LeftOut]]:
    """Pair the scans of one animal, plane and region."""
    fast, default, rest = _candidates(group)
    if not fast or not default:
        return None, rest
    name = group[0].scan_id
    fits = [
        (short, long, fit_grids(short, long, in_plane_tolerance, slice_tolerance))
        for long in default
        for short in fast
    ]
    pair = next((ScanPair(s, d, fit.shift_voxels) for s, d, fit in fits if not fit.fault), None)
    if pair is None:
        reason = fits[0][2].fault
        rest.append(LeftOut(default[0].source, f"{name}: {reason}"))
        others = f"{name}: does not fit {default[0].source}, of which {reason}"
        rest += [LeftOut(scan.source, others) for scan in (*fast, *default[1:])]
        return None, rest
    for used, scans in ((pair.fast, fast), (pair.default, default)):
        rest += [
            LeftOut(scan.source, f"{name}: {used.source} has the same parameters and is used")
            for scan in scans
            if scan is not used
        ]
    return pair, rest


def _candidates(
    group: list[ScanDescription],
) -> tuple[list[ScanDescription], list[ScanDescription], list[LeftOut]]:
    """Return the fast and the default scans of a group, latest first, and the others."""
    latest_first = sorted(group, key=lambda scan: scan.order, reverse=True)
    name = group[0].scan_id
    if all(scan.kind for scan in group):
        fast = [scan for scan in latest_first if scan.kind == "fast"]
        default = [scan for scan in latest_first if scan.kind == "default"]
    else:
        efforts = sorted({_effort(scan) for scan in group})
        if len(efforts) == 1:
            fault = f"{name}: no partner, all its scans have {_written(efforts[0])}"
            return [], [], [LeftOut(scan.source, fault) for scan in latest_first]
        fast = [scan for scan in latest_first if _effort(scan) == efforts[0]]
        default = [scan for scan in latest_first if _effort(scan) == efforts[-1]]
    if not fast or not default:
        missing = "default" if fast else "fast"
        return (
            fast,
            default,
            [LeftOut(scan.source, f"{name}: the {missing} scan is missing") for scan in group],
        )
    rest = [
        LeftOut(scan.source, f"{name}: with {_written(_effort(scan))} neither fastest nor longest")
        for scan in latest_first
        if scan not in fast and scan not in default
    ]
    return fast, default, rest


def _effort(scan: ScanDescription) -> tuple[float, int]:
    """Return averages and voxels in the plane, a measure of the scan time."""
    return (scan.averages or 1.0, scan.size[0] * scan.size[1])


def _written(effort: tuple[float, int]) -> str:
    """Write averages and matrix."""
    return f"{effort[0]:g} averages and {effort[1]} voxels a slice"
