"""Description of a scan, as needed for pairing it with another one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from custom.files.bruker import BrukerHeader

__all__ = [
    "PLANES",
    "LeftOut",
    "ScanDescription",
    "ScanKind",
    "describe_bruker_scan",
    "find_region",
    "plain_name",
    "plane_of",
]

PLANES = ("sagittal", "coronal", "axial")  # by the RAS axis that the slices follow
ScanKind = Literal["fast", "default"]
_SCAN_NAMES = ("VisuAcquisitionProtocol", "ACQ_scan_name", "ACQ_protocol_name")
_STUDY_NAMES = ("VisuStudyId", "VisuStudyDescription")
# col_dir: lines follow each other along a column, so the second image axis is phase encoded.
_PHASE_AXIS = {"row_dir": 0, "col_dir": 1}


@dataclass(frozen=True, eq=False)
class ScanDescription:
    """Parameters and geometry of a scan, without its pixels.

    Args:
        path: The ``2dseq`` or NIfTI file.
        source: Name of the scan in messages.
        animal: Name of the animal.
        plane: ``axial``, ``coronal`` or ``sagittal``.
        region: Part of the body; empty if no name gives it.
        size: Voxels along both image axes, and slices.
        affine: ``(4, 4)``, voxel index to RAS millimetres.
        kind: Fast or default, if a file's name gives it; otherwise parameters decide.
        averages: Number of averages, if known.
        order: Increases with the time of acquisition.
        parameters: Recorded acquisition parameters.
        mask: File with regions on the default scan's grid.
        remarks: Warnings about the header.
    """

    path: Path
    source: str
    animal: str
    plane: str
    region: str
    size: tuple[int, int, int]
    affine: NDArray[np.float64]
    kind: ScanKind | None = None
    averages: float | None = None
    order: tuple[float, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    mask: Path | None = None
    remarks: tuple[str, ...] = ()

    @property
    def scan_id(self) -> str:
        """The name of the pair it belongs to."""
        return f"{self.animal}_{self.plane}_{self.region}"

    @property
    def spacing_mm(self) -> NDArray[np.float64]:
        """Distance of voxel centres along the three axes."""
        return np.asarray(np.linalg.norm(self.affine[:3, :3], axis=0))

    @property
    def centre_mm(self) -> NDArray[np.float64]:
        """Middle of the box that the voxels fill, in RAS millimetres."""
        middle = (np.asarray(self.size) - 1) / 2
        return np.asarray(self.affine[:3, :3] @ middle + self.affine[:3, 3])


@dataclass(frozen=True)
class LeftOut:
    """A scan that is in no pair, with the reason."""

    source: str
    reason: str


def plane_of(affine: NDArray[np.float64]) -> str:
    """Return the plane of a stack's slices, by the axis that their normal is closest to.

    >>> plane_of(np.diag([0.1, 0.1, 0.6, 1.0]))
    'axial'
    """
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    return PLANES[int(np.abs(normal).argmax())]


def find_region(texts: Iterable[str], patterns: Mapping[str, str]) -> str:
    """Return the first region whose pattern occurs in one of the texts, or an empty text.

    Args:
        texts: Names of the ParaVision study, the scan or the protocol.
        patterns: Region to regular expression; case does not matter.
    """
    names = list(texts)
    for region, pattern in patterns.items():
        if any(re.search(pattern, name, re.IGNORECASE) for name in names):
            return region
    return ""


def plain_name(text: str) -> str:
    """Return a text with nothing but letters, digits, points and hyphens.

    >>> plain_name(" mouse 7_b ")
    'mouse-7-b'
    """
    return re.sub(r"[^A-Za-z0-9.-]+", "-", text.strip()).strip("-.")


def describe_bruker_scan(
    header: BrukerHeader, source: str, region_patterns: Mapping[str, str]
) -> ScanDescription:
    """Describe a ParaVision image by its parameters.

    Args:
        header: Its parameters and geometry.
        source: Name of the scan in messages.
        region_patterns: See :func:`find_region`; searched in the names of the scan and the
            protocol, and if none matches there in those of the ParaVision study, which may hold
            several regions.
    """
    values = header.parameters
    study = header.path.parents[3].name
    animal = _first(values, "SUBJECT_id", "VisuSubjectId") or study
    scan_names = [_text(values.get(name)) for name in _SCAN_NAMES]
    study_names = [study, *(_text(values.get(name)) for name in _STUDY_NAMES)]
    number = header.path.parents[2].name
    return ScanDescription(
        path=header.path,
        source=source,
        animal=plain_name(_text(animal)),
        plane=plane_of(header.affine),
        region=find_region(scan_names, region_patterns)
        or find_region(study_names, region_patterns),
        size=header.size,
        affine=header.affine,
        averages=float(_number(values, "PVM_NAverages", "VisuAcqNumberOfAverages", "NA") or 1),
        # Where no time is recorded the number decides, which grows with each scan of a study.
        order=(
            float(_number(values, "ACQ_abs_time") or 0),
            float(number) if number.isdigit() else 0.0,
        ),
        parameters=_recorded(header),
        remarks=header.remarks,
    )


def _recorded(header: BrukerHeader) -> dict[str, Any]:
    """Return the parameters that are kept; none of them names the operator or the owner."""
    values = header.parameters
    method = _text(_first(values, "Method", "ACQ_method", "VisuAcqSequenceName"))
    phase = _text(_first(values, "VisuAcqImagePhaseEncDir")).split(" ")[0]
    spacing = np.linalg.norm(header.affine[:3, :3], axis=0)
    recorded = {
        "method": method.rpartition(":")[2],
        "averages": _number(values, "PVM_NAverages", "VisuAcqNumberOfAverages", "NA"),
        "matrix": list(header.size[:2]),
        "slices": header.size[2],
        "fov_mm": [float(round(spacing[i] * header.size[i], 6)) for i in (0, 1)],
        "slice_distance_mm": float(round(spacing[2], 6)),
        "slice_thickness_mm": _number(values, "PVM_SliceThick", "VisuCoreFrameThickness"),
        "tr_ms": _number(values, "PVM_RepetitionTime", "VisuAcqRepetitionTime"),
        "te_ms": _number(values, "EffectiveTE", "VisuAcqEchoTime", "PVM_EchoTime"),
        "rare_factor": _number(values, "PVM_RareFactor", "VisuAcqEchoTrainLength"),
        "phase_axis": _PHASE_AXIS.get(phase),
        "paravision": _text(values.get("VisuCreatorVersion")),
    }
    return {name: value for name, value in recorded.items() if value not in (None, "")}


def _first(values: Mapping[str, Any], *names: str) -> Any:
    """Return the first parameter that exists and is not empty."""
    return next((values[name] for name in names if _text(values.get(name))), None)


def _number(values: Mapping[str, Any], *names: str) -> float | int | None:
    """Return the first parameter that exists, as a number; of a list the first."""
    for name in names:
        try:
            number = np.asarray(values[name], dtype=float).flat[0].item()
        except (KeyError, ValueError, TypeError, IndexError):
            continue
        return int(number) if number == int(number) else float(number)
    return None


def _text(value: Any) -> str:
    """Return a parameter as text without brackets; of a list the first."""
    if isinstance(value, (list, tuple, np.ndarray)):
        value = value[0] if len(value) else ""
    return "" if value is None else str(value).strip("<> ")
