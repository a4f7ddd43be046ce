"""Keep one slice of volumes of an evaluation, chosen by rule, and draw it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from numpy.typing import NDArray

from custom.evaluation.figure_folder import write_figures
from custom.evaluation.slice_table import restored_items
from custom.evaluation.volume_table import VolumeQualityTable, volume_values
from custom.metrics.kspace_error import central_spectrum, spectrum_band

__all__ = [
    "VOLUME_FIGURE_COLUMNS",
    "VolumeComparison",
    "VolumeFigures",
    "compare_volumes",
    "zoom_window",
]

VOLUME_FIGURE_COLUMNS = ("file", "scan", "slice", "noise_level", "chosen")
_ZOOM = 1 / 3  # of a slice's sides


@dataclass(frozen=True)
class VolumeComparison:
    """One slice of a volume by every method, and the centre of k-space.

    Attributes:
        scan: The scan's name.
        slice_index: From 0, along the last axis.
        noise_level: Of the noise that was added, in deviations of the reference.
        chosen: Why it is shown.
        pixel_mm: Size of a pixel along ``X`` and ``Y``.
        window: The part that is enlarged: first row, first column, rows, columns.
        images: Method to the slice, ``(X, Y)``.
        reference: What it should be.
        spectra: Method to ``|F (x - y)|`` of the whole volume ``x`` and the reference ``y`` at the
            frequency 0 of the last axis, centre of k-space, over the root mean square of ``|F y|``
            there.
        measures: Method to measure to value, of the whole volume.
    """

    scan: str
    slice_index: int
    noise_level: float
    chosen: str
    pixel_mm: tuple[float, float]
    window: tuple[int, int, int, int]
    images: Mapping[str, NDArray[Any]]
    reference: NDArray[Any]
    spectra: Mapping[str, NDArray[Any]]
    measures: Mapping[str, Mapping[str, Any]]


class VolumeFigures:
    """Draw the middle slice of the first volumes, and of the model's worst. Nobody picks them.

    Drawn are, without noise, the first ``scans`` volumes in the order of the dataset and that with
    the lowest PSNR of the model; and the first volume at the strongest noise.

    Writes ``figures/<scan>[_noise<level>].png`` and ``figures/figures.csv``; figures of an earlier
    evaluation go.

    Args:
        table: Measures of the same evaluator; it must stand before this handler.
        draw: Makes a matplotlib figure of a comparison.
        output_dir: Folder in which ``figures`` is made.
        scans: Volumes that are always shown, at least 0.
        dots_per_inch: Resolution of the figures.

    Raises:
        ValueError: If ``scans`` is negative.
    """

    def __init__(
        self,
        table: VolumeQualityTable,
        draw: Callable[[VolumeComparison], Any],
        output_dir: str | Path,
        scans: int = 3,
        dots_per_inch: int = 110,
    ) -> None:
        if scans < 0:
            raise ValueError(f"scans must be at least 0, got {scans}")
        self.table = table
        self.draw = draw
        self.folder = Path(output_dir) / "figures"
        self.scans = scans
        self.dots_per_inch = dots_per_inch
        self.start()

    def attach(self, engine: Engine) -> None:
        """Choose slices as volumes are restored, and draw at the end."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.keep)
        engine.add_event_handler(Events.COMPLETED, self.write)

    def start(self) -> None:
        """Forget what an earlier run kept."""
        self.first: list[VolumeComparison] = []
        self.noisy: VolumeComparison | None = None
        self.worst: VolumeComparison | None = None

    def keep(self, engine: Engine) -> None:
        """Keep a slice of the volume that the engine has just restored, if it is to be shown."""
        for data in restored_items(engine):
            scan, level = str(data.get("scan", "")), float(data.get("noise_level", 0.0))
            rows = [
                row
                for row in self.table.rows
                if row["scan"] == scan and row["noise_level"] == level
            ]
            measures = {row["method"]: row for row in rows}
            self._keep(data, level, measures)

    def _keep(
        self, data: Mapping[str, Any], level: float, measures: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Keep the volume as one of the first, the worst, or that with the strongest noise."""
        score = measures["model"]["psnr"]
        if level > 0:
            strongest = self.noisy.noise_level if self.noisy else 0.0
            if level > strongest:
                self.noisy = self._compare(data, measures, "strongest noise")
        elif len(self.first) < self.scans:
            self.first.append(self._compare(data, measures, "first of the dataset"))
        if level == 0 and (self.worst is None or score < self.worst.measures["model"]["psnr"]):
            self.worst = self._compare(data, measures, "lowest PSNR of the model")

    def _compare(
        self, data: Mapping[str, Any], measures: Mapping[str, Any], chosen: str
    ) -> VolumeComparison:
        """Put the images together."""
        return compare_volumes(data, self.table.methods, measures, chosen, self.table.scale)

    def write(self) -> None:
        """Draw the slices."""
        others = [item for item in (self.worst, self.noisy) if item is not None]
        chosen = {_file_name(item): item for item in (*self.first, *others)}
        items = [
            (item, (name, item.scan, item.slice_index, item.noise_level, item.chosen))
            for name, item in chosen.items()
        ]
        write_figures(self.folder, VOLUME_FIGURE_COLUMNS, items, self.draw, self.dots_per_inch)


def compare_volumes(
    data: Mapping[str, Any],
    methods: Mapping[str, str],
    measures: Mapping[str, Mapping[str, Any]],
    chosen: str = "",
    scale: int = 2,
) -> VolumeComparison:
    """Put the slices of one volume together.

    Args:
        data: ``label`` and the volumes of all methods, with what is known of the scan.
        methods: Name of a method to the key of its volume.
        measures: Method to measure to value.
        chosen: Why it is shown.
        scale: Ratio of the grids, which bounds the centre of k-space.

    Shape:
        Volumes: ``(1, D, H, W)``.
    """
    reference = volume_values(data["label"])
    volumes = {method: volume_values(data[key]) for method, key in methods.items()}
    index = reference.shape[-1] // 2
    affine = torch.as_tensor(getattr(data["label"], "affine", torch.eye(4))).double()
    width, height = torch.linalg.norm(affine[:3, :2], dim=0).tolist()
    band = spectrum_band(reference.shape[:2], scale)
    spectrum = _plane(reference, band)
    unit = float(np.sqrt(np.mean(np.abs(spectrum) ** 2))) or 1.0
    return VolumeComparison(
        scan=str(data.get("scan", "")),
        slice_index=index,
        noise_level=float(data.get("noise_level", 0.0)),
        chosen=chosen,
        pixel_mm=(width, height),
        window=zoom_window(reference[..., index]),
        images={method: volume[..., index] for method, volume in volumes.items()},
        reference=reference[..., index],
        spectra={
            method: np.abs(_plane(volume, band) - spectrum) / unit
            for method, volume in volumes.items()
        },
        measures=measures,
    )


def zoom_window(image: NDArray[Any], share: float = _ZOOM) -> tuple[int, int, int, int]:
    """Return where an image has most detail: first row, first column, rows, columns.

    The window of ``share`` of each side in which the mean squared gradient is largest.

    Args:
        image: ``(X, Y)``.
        share: Of the sides, above 0, at most 1.
    """
    sizes = [max(2, round(share * length)) for length in image.shape]
    energy = sum(np.square(part) for part in np.gradient(np.asarray(image, dtype=np.float64)))
    total = np.pad(np.cumsum(np.cumsum(energy, 0), 1), ((1, 0), (1, 0)))
    rows, columns = sizes
    sums = (
        total[rows:, columns:]
        - total[:-rows, columns:]
        - total[rows:, :-columns]
        + total[:-rows, :-columns]
    )
    first, second = np.unravel_index(int(np.argmax(sums)), sums.shape)
    return int(first), int(second), rows, columns


def _plane(volume: NDArray[Any], band: tuple[int, ...]) -> NDArray[Any]:
    """Return the centre of k-space of a volume at the frequency 0 of the last axis."""
    projection = np.sum(volume, axis=2, keepdims=True, dtype=np.float64) / volume.shape[2] ** 0.5
    return central_spectrum(projection, (*band, 1))[..., 0]


def _file_name(item: VolumeComparison) -> str:
    """Return the name of the figure."""
    level = f"_noise{item.noise_level:g}" if item.noise_level else ""
    return f"{item.scan}{level}.png"
