"""Choose the fast and the default scan of each animal, plane and region, and pair them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from custom.data.preparation.scans.scan_description import LeftOut, ScanDescription
from custom.data.preparation.scans.scan_geometry import fit_grids

__all__ = ["ScanPair", "name_regions", "pair_scans"]


@dataclass(frozen=True, eq=False)
class ScanPair:
    """A fast scan and the default scan of the same box.

    Args:
        fast: The coarse, noisy scan.
        default: The fine scan, of twice the matrix.
        shift_voxels: See :class:`custom.data.preparation.scans.scan_geometry.GridFit`.
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
        in_plane_tolerance: See :func:`custom.data.preparation.scans.scan_geometry.fit_grids`.
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
