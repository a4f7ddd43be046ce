"""Quality control: measure and draw every slice of a dataset, and suggest exclusions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from custom.data.datasets.datalist import EXCLUSIONS
from custom.data.datasets.exclusions import merge_suggestions, read_exclusions
from custom.errors import InputError
from custom.files.atomic import atomic_path, set_aside, write_json
from custom.files.csv_table import write_table
from custom.files.nifti_forms import load_nifti
from custom.metrics.slice_quality import SliceQuality, local_outlier_scores, measure_stack

__all__ = ["QualityControl", "QualityLimits", "ScanSheet"]

logger = logging.getLogger(__name__)

_MEASURES = ("snr", "ghosting", "focus", "entropy", "correlation")
_COLUMNS = ("split", "scan", "animal", "plane", "region", "image", "slice", *_MEASURES, "flags")
# Variation from slice to slice in a good scan, as a share of the median.
# Less is not believed: in a scan of very even slices harmless ones would be flagged.
_LEAST_SHARE = {"snr": 0.05, "focus": 0.05, "entropy": 0.02, "correlation": 0.02}
# Names of an item's stacks for the user.
_STACKS = {"fast": "image", "default": "label"}


@dataclass(frozen=True)
class QualityLimits:
    """Limits beyond which a slice is flagged.

    Args:
        min_snr: Smallest signal-to-noise ratio.
        max_ghosting: Largest ghost, as a share of the signal.
        max_score: Largest difference from the neighbouring slices, in robust standard deviations.

    Raises:
        ValueError: If a limit is not positive.
    """

    min_snr: float = 5.0
    max_ghosting: float = 0.1
    max_score: float = 6.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f"{name} must be positive, got {value}")

    def flags(self, measured: Sequence[SliceQuality]) -> list[list[str]]:
        """Return the flags of each slice of a stack, in words."""
        columns = {name: np.array([getattr(one, name) for one in measured]) for name in _MEASURES}
        scores = {
            name: local_outlier_scores(values, _LEAST_SHARE[name])
            for name, values in columns.items()
            if name in _LEAST_SHARE
        }
        found: list[list[str]] = []
        for index, one in enumerate(measured):
            worse = {
                "low SNR": one.snr < self.min_snr or scores["snr"][index] < -self.max_score,
                "ghosting": one.ghosting > self.max_ghosting,
                "blurred": scores["focus"][index] < -self.max_score,
                "smeared": scores["entropy"][index] > self.max_score,
                "unlike its neighbours": scores["correlation"][index] < -self.max_score,
            }
            found.append([name for name, is_so in worse.items() if is_so])
        return found


@dataclass(frozen=True, eq=False)
class ScanSheet:
    """Content of a scan's contact sheet.

    Args:
        scan: Its name.
        stacks: ``fast`` and ``default`` to magnitudes ``(X, Y, S)``.
        spacing_mm: The same names to the size of a voxel in the plane.
        flags: The same names to the flags of each slice.
        snr: The same names to the signal-to-noise ratio of each slice.
        excluded: Slices that the user has excluded.
    """

    scan: str
    stacks: Mapping[str, NDArray[Any]]
    spacing_mm: Mapping[str, tuple[float, float]]
    flags: Mapping[str, Sequence[Sequence[str]]]
    snr: Mapping[str, Sequence[float]]
    excluded: frozenset[int]


class QualityControl:
    """Measure the slices of all scans, for the user to decide on exclusions.

    Writes ``qc/qc.csv``, ``qc/qc.json`` and ``qc/contact_sheet_<scan>.png`` in the dataset's
    folder, and ``exclusions.csv`` with a row for each slice. Nothing is excluded automatically: a
    suggestion stands in the column ``reason`` until the user writes yes in ``exclude``. The user's
    entries stay when this runs again, and the earlier ``qc`` is kept as ``qc.1`` and so on.

    Args:
        dataset_dir: The dataset's folder.
        datalist: Its scans, as :func:`custom.data.datasets.datalist.load_datalist` gives them.
        limits: Limits beyond which a slice is flagged.
        draw: Makes a matplotlib figure of a :class:`ScanSheet`.
        phase_axis: Phase-encoding axis (0 or 1) of scans without this entry; None if unknown.
        dots_per_inch: Resolution of the contact sheets.

    Raises:
        ValueError: If ``phase_axis`` is neither 0, 1 nor None.
    """

    def __init__(
        self,
        dataset_dir: str | Path,
        datalist: Mapping[str, Sequence[Mapping[str, Any]]],
        limits: QualityLimits,
        draw: Callable[[ScanSheet], Any],
        phase_axis: int | None = None,
        dots_per_inch: int = 100,
    ) -> None:
        if phase_axis not in (None, 0, 1):
            raise ValueError(f"phase_axis must be 0, 1 or None, got {phase_axis}")
        self.folder = Path(dataset_dir).expanduser().resolve()
        self.datalist = datalist
        self.limits = limits
        self.draw = draw
        self.phase_axis = phase_axis
        self.dots_per_inch = dots_per_inch

    def run(self) -> Path:
        """Measure, draw and suggest.

        Returns:
            The path of ``qc.csv``.

        Raises:
            InputError: If a file of the dataset cannot be read, or ``exclusions.csv`` is invalid;
                that file is not overwritten then.
        """
        listed = self.folder / EXCLUSIONS
        excluded = read_exclusions(listed if listed.is_file() else None)
        scans = [(split, item) for split, items in self.datalist.items() for item in items]
        set_aside(self.folder / "qc")
        rows: list[dict[str, Any]] = []
        for split, item in tqdm(scans, "Measuring slices", disable=None):
            rows += self._measure(split, item, frozenset(excluded.get(item["scan"], set())))
        table = write_table(self.folder / "qc" / "qc.csv", _COLUMNS, map(_for_table, rows))
        suggestions = _suggestions(rows)
        write_json(self.folder / "qc" / "qc.json", self._summary(rows, suggestions))
        # Last: the user's list changes only after everything else was written.
        kept = merge_suggestions(listed, suggestions)
        flagged = sum(bool(reason) for reason in suggestions.values())
        logger.info(
            "%d of %d slices are worth a look: see %s", flagged, len(suggestions), table.parent
        )
        logger.info("write yes beside what to leave out (%d so far): %s", kept, listed)
        return table

    def _measure(
        self, split: str, item: Mapping[str, Any], excluded: frozenset[int]
    ) -> list[dict[str, Any]]:
        """Measure both stacks of a scan and draw them."""
        axis = item.get("phase_axis")
        stacks, spacing = {}, {}
        flags: dict[str, list[list[str]]] = {}
        rows: list[dict[str, Any]] = []
        for name, key in _STACKS.items():
            if key not in item:
                continue
            stacks[name], spacing[name] = _load(Path(item[key]))
            measured = measure_stack(stacks[name], self.phase_axis if axis is None else axis)
            flags[name] = self.limits.flags(measured)
            rows += [
                {
                    "split": split,
                    **{key: item.get(key, "") for key in ("scan", "animal", "plane", "region")},
                    "image": name,
                    "slice": index,
                    **asdict(one),
                    "flags": found,
                }
                for index, (one, found) in enumerate(zip(measured, flags[name], strict=True))
            ]
        snr = {name: [row["snr"] for row in rows if row["image"] == name] for name in stacks}
        figure = self.draw(ScanSheet(item["scan"], stacks, spacing, flags, snr, excluded))
        with atomic_path(self.folder / "qc" / f"contact_sheet_{item['scan']}.png") as temporary:
            figure.savefig(temporary, dpi=self.dots_per_inch)
        return rows

    def _summary(
        self, rows: Sequence[Mapping[str, Any]], suggestions: Mapping[tuple[str, int], str]
    ) -> dict[str, Any]:
        """Return the content of ``qc.json``."""
        stacks: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
        for row in rows:
            stacks.setdefault((row["scan"], row["image"]), []).append(row)
        scans: dict[str, Any] = {}
        for (scan, image), found in stacks.items():
            entry = scans.setdefault(scan, {"split": found[0]["split"], "flagged": {}})
            entry[image] = {name: _median([one[name] for one in found]) for name in _MEASURES}
        for (scan, index), reason in suggestions.items():
            if reason:
                scans[scan]["flagged"][str(index)] = reason
        return {"limits": asdict(self.limits), "medians_and_flags": scans}


def _suggestions(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, int], str]:
    """Return the faults of each slice of each pair, empty for none."""
    reasons: dict[tuple[str, int], list[str]] = {}
    for row in rows:
        reason = reasons.setdefault((row["scan"], row["slice"]), [])
        if row["flags"]:
            reason.append(f"{row['image']} scan {', '.join(row['flags'])}")
    return {key: "; ".join(found) for key, found in reasons.items()}


def _load(path: Path) -> tuple[NDArray[np.float32], tuple[float, float]]:
    """Read a stack and the size of its voxels in the plane."""
    try:
        image: Any = load_nifti(path)
        stack = np.asarray(image.dataobj, dtype=np.float32)
        spacing = np.linalg.norm(image.affine[:3, :2], axis=0)
    except Exception as error:
        raise InputError(f"{path}: cannot be read: prepare the dataset again") from error
    if stack.ndim != 3 or not np.isfinite(stack).all():
        raise InputError(f"{path}: no stack of finite values: prepare the dataset again")
    return stack, (float(spacing[0]), float(spacing[1]))


def _for_table(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row for the table, empty where nothing could be measured."""
    values = {name: "" if np.isnan(row[name]) else row[name] for name in _MEASURES}
    return {**row, **values, "flags": "; ".join(row["flags"])}


def _median(values: Sequence[float]) -> float | None:
    """Return the median of the values that could be measured, or None."""
    finite = [value for value in values if np.isfinite(value)]
    return float(np.median(finite)) if finite else None
