"""Keep one slice of every diffusion series of an evaluation, chosen by rule, and draw it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from numpy.typing import NDArray
from torch import Tensor

from custom.evaluation.dwi_table import DwiQualityTable, TrueVoxels
from custom.evaluation.figure_folder import write_figures
from custom.evaluation.slice_table import restored_items
from custom.metrics.dwi_quality import refit_tensors
from custom.physics.diffusion.tensor import fractional_anisotropy

__all__ = ["DWI_FIGURE_COLUMNS", "DwiComparison", "DwiFigures", "compare_series"]

DWI_FIGURE_COLUMNS = ("file", "scan", "slice", "volume", "b_value", "noise_level")


@dataclass(frozen=True)
class DwiComparison:
    """One slice of one weighted volume, and its fractional anisotropy, by every method.

    Attributes:
        scan: The scan's name.
        slice_index: From 0, along the last axis.
        volume: From 0, in the model's order.
        b_value: Of the volume, in s/mm².
        noise_level: The true one in units of ``S_0``, or None.
        pixel_mm: Size of a pixel along ``X`` and ``Y``.
        signals: Method to signals in units of the scan's median ``S_0``, ``(X, Y)``.
        anisotropy: Method to fractional anisotropy, ``(X, Y)``; NaN outside of the mask.
        true_signals: What the signals should be.
        true_anisotropy: What the anisotropy should be.
        measures: Method to measure to value, of the whole scan.
    """

    scan: str
    slice_index: int
    volume: int
    b_value: float
    noise_level: float | None
    pixel_mm: tuple[float, float]
    signals: Mapping[str, NDArray[Any]]
    anisotropy: Mapping[str, NDArray[Any]]
    true_signals: NDArray[Any]
    true_anisotropy: NDArray[Any]
    measures: Mapping[str, Mapping[str, Any]]


class DwiFigures:
    """Draw the middle slice of the middle weighted volume of every scan. Nobody picks them.

    Writes ``figures/<scan>.png`` and ``figures/figures.csv``; figures of an earlier evaluation go.

    Args:
        table: Measures of the same evaluator; it must stand before this handler.
        draw: Makes a matplotlib figure of a comparison.
        output_dir: Folder in which ``figures`` is made.
        dots_per_inch: Resolution of the figures.
    """

    def __init__(
        self,
        table: DwiQualityTable,
        draw: Callable[[DwiComparison], Any],
        output_dir: str | Path,
        dots_per_inch: int = 110,
    ) -> None:
        self.table = table
        self.draw = draw
        self.folder = Path(output_dir) / "figures"
        self.dots_per_inch = dots_per_inch
        self.start()

    def attach(self, engine: Engine) -> None:
        """Keep a slice of each series as it is restored, and draw at the end."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.keep)
        engine.add_event_handler(Events.COMPLETED, self.write)

    def start(self) -> None:
        """Forget what an earlier run kept."""
        self.kept: list[DwiComparison] = []

    def keep(self, engine: Engine) -> None:
        """Keep a slice of the series that the engine has just restored."""
        for data in restored_items(engine):
            measures = {
                row["method"]: row for row in self.table.rows if row["scan"] == str(data["scan"])
            }
            self.kept.append(compare_series(data, self.table.methods, measures))

    def write(self) -> None:
        """Draw the slices."""
        items = []
        for item in self.kept:
            level = "" if item.noise_level is None else item.noise_level
            place = (item.scan, item.slice_index, item.volume, item.b_value, level)
            items.append((item, (f"{item.scan}.png", *place)))
        write_figures(self.folder, DWI_FIGURE_COLUMNS, items, self.draw, self.dots_per_inch)


def compare_series(
    data: Mapping[str, Any],
    methods: Mapping[str, str],
    measures: Mapping[str, Mapping[str, Any]],
) -> DwiComparison:
    """Put the maps of one slice together.

    Args:
        data: The truth, as :class:`~custom.evaluation.dwi_table.TrueVoxels` takes it, and the
            series of all methods.
        methods: Name of a method to the key of its series.
        measures: Method to measure to value.
    """
    voxels = TrueVoxels(data)
    weighted = torch.nonzero(~torch.as_tensor(data["unweighted"]).cpu()).flatten()
    volume = int(weighted[len(weighted) // 2])
    index = voxels.inside.shape[-1] // 2
    unit = float(voxels.scale.median())
    affine = torch.as_tensor(getattr(data["label"], "affine", torch.eye(4))).double()
    width, height = torch.linalg.norm(affine[:3, :2], dim=0).tolist()
    slices = {"": data["label"]} | {method: data[key] for method, key in methods.items()}
    signals = {name: _slice(series, volume, index) / unit for name, series in slices.items()}
    in_slice = torch.nonzero(voxels.inside)[:, 2] == index
    found = {name: voxels.signals_of(name, series)[in_slice] for name, series in slices.items()}
    maps = {
        name: _map(refit_tensors(values, voxels.b_rows), voxels.inside[..., index])
        for name, values in found.items()
    }
    maps[""] = _map(voxels.tensors[in_slice], voxels.inside[..., index])
    level = data.get("true_noise_level")
    return DwiComparison(
        scan=voxels.scan,
        slice_index=index,
        volume=volume,
        b_value=round(1000 * float(voxels.b_rows[volume, :3].sum()), 3),
        noise_level=None if level is None else float(level),
        pixel_mm=(width, height),
        true_signals=signals.pop(""),
        true_anisotropy=maps.pop(""),
        signals=signals,
        anisotropy=maps,
        measures=measures,
    )


def _slice(series: Tensor, volume: int, index: int) -> NDArray[Any]:
    """Return one slice of one volume."""
    values = torch.as_tensor(series).as_subclass(Tensor).detach()
    return np.asarray(values[volume, ..., index].float().cpu())


def _map(tensors: Tensor, inside: Tensor) -> NDArray[Any]:
    """Return fractional anisotropy as a map, NaN outside."""
    values = torch.full(inside.shape, torch.nan, dtype=torch.float64)
    values[inside] = fractional_anisotropy(tensors)
    return np.asarray(values)
