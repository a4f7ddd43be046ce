"""Measure every method on every diffusion series while an evaluator runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import Tensor

from custom.errors import InputError
from custom.evaluation.compared_methods import compared_methods
from custom.evaluation.slice_table import restored_items
from custom.files.csv_table import write_table
from custom.metrics.dwi_quality import coverage, refit_tensors, signal_measures, tensor_measures

__all__ = ["ABOUT_COLUMNS", "MEASURES", "DwiQualityTable", "TrueVoxels"]

ABOUT_COLUMNS = ("scan", "subject", "noise_level", "noise_estimate", "voxels", "method")
COVERAGE = {"coverage_1sd": 1.0, "coverage_2sd": 2.0}
MEASURES = ("mse", "nrmse", "d_mse", "d_mae", "md_mae", "fa_mae", *COVERAGE)


class DwiQualityTable:
    """Collect the errors of signals and refitted tensors of each series and method, as CSV.

    Signals are in units of the voxel's true ``S_0``: that of the item's ``s0``, else the mean of
    the truth's unweighted volumes. All methods are measured on the same voxels: those of the item's
    mask, else those that the model restored, where ``S_0`` is positive. The tensors of all methods
    are refitted alike (:func:`~custom.metrics.dwi_quality.refit_tensors`) and compared with the
    item's ``tensor``, else with that refitted from the truth.

    Writes ``metrics.csv`` when the evaluator has completed: a row for each scan and method, with
    the noise level in units of ``S_0`` (the true one of the item, and the median of what was
    estimated), number of voxels, and the measures. A cell is empty where there is no such number:
    the coverage of a method without deviations, the level of an item that does not tell it.

    Args:
        output_dir: Folder of the table.
        methods: Name of a method to the key of its series in the batch or the output.
        peers: What the evaluator ran besides; the networks among it are methods too.
        deviations: Name of a method to the key of its deviations, where it has any.

    Shape:
        Series, deviations: ``(M, X, Y, Z)``; tensor: ``(6, X, Y, Z)``; mask, ``S_0``:
        ``(1, X, Y, Z)``.

    Raises:
        ValueError: If ``methods`` lacks ``model``, or while running, if a method's series has not
            the shape of the truth.
        InputError: While running, if a series cannot be measured.
    """

    def __init__(
        self,
        output_dir: str | Path,
        methods: Mapping[str, str],
        peers: Iterable[Any] = (),
        deviations: Mapping[str, str] | None = None,
    ) -> None:
        self.output_dir = Path(output_dir)
        self.methods = compared_methods(methods, peers)
        self.deviations = dict(deviations or {})
        self.start()

    def attach(self, engine: Engine) -> None:
        """Measure each series as it is restored, and write the table at the end."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.measure)
        engine.add_event_handler(Events.COMPLETED, self.write)

    def start(self) -> None:
        """Forget what an earlier run measured."""
        self.rows: list[dict[str, Any]] = []
        self.noise_sources: set[str] = set()

    def measure(self, engine: Engine) -> None:
        """Measure the series that the engine has just restored."""
        for data in restored_items(engine):
            voxels = TrueVoxels(data)
            self.noise_sources.add(str(data.get("noise_source", "")))
            about = {
                "scan": str(data.get("scan", "")),
                "subject": str(data.get("subject", "")),
                "noise_level": _number(data.get("true_noise_level")),
                "noise_estimate": _number(data.get("noise_level")),
                "voxels": len(voxels.signals),
            }
            for method, key in self.methods.items():
                found = voxels.signals_of(method, data[key])
                deviation = data.get(self.deviations.get(method, ""))
                values = voxels.measures(found) | _coverages(voxels, method, found, deviation)
                self.rows.append({**about, "method": method, **values})

    def write(self) -> None:
        """Write the table."""
        write_table(self.output_dir / "metrics.csv", (*ABOUT_COLUMNS, *MEASURES), self.rows)


class TrueVoxels:
    """The voxels of a scan in which methods are compared with the truth.

    Args:
        data: ``label``, ``unweighted``, ``b_rows`` and, where they are known, ``mask`` (else
            ``image_mask``), ``s0`` and ``tensor``.

    Attributes:
        inside: ``(X, Y, Z)``: which voxels of the volume they are.
        scale: ``(n, 1)``: their true ``S_0``.
        signals: ``(n, M)`` in units of ``S_0``.
        tensors: ``(n, 6)`` in µm²/ms.

    Raises:
        InputError: If no voxel is left.
    """

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.scan = str(data.get("scan", "scan"))
        self.b_rows = _values(data["b_rows"])
        label = _values(data["label"])
        if "s0" in data:
            scale = _values(data["s0"])[0]
        else:
            scale = label[torch.as_tensor(data["unweighted"]).cpu()].mean(0)
        mask = _values(data["mask" if "mask" in data else "image_mask"])[0]
        self.inside = (mask > 0) & (scale > 0)
        if not self.inside.any():
            raise InputError(
                f"{self.scan} has no voxel to evaluate: its mask or S0 is 0 everywhere"
            )
        self.scale = scale[self.inside].unsqueeze(1)
        self.shape = label.shape
        self.signals = label[:, self.inside].T / self.scale
        if "tensor" in data:
            self.tensors = _values(data["tensor"])[:, self.inside].T
        else:
            self.tensors = refit_tensors(self.signals, self.b_rows)

    def signals_of(self, method: str, series: Tensor) -> Tensor:
        """Return a method's signals in these voxels, ``(n, M)`` in units of the true ``S_0``.

        Raises:
            ValueError: If the series has not the shape of the truth.
            InputError: If it is not finite there.
        """
        values = _values(series)
        if values.shape != self.shape:
            raise ValueError(
                f"{method} must give {tuple(self.shape)} for {self.scan}, got "
                f"{tuple(values.shape)}: part deviations off with SplitUncertaintyd"
            )
        found = values[:, self.inside].T / self.scale
        if not bool(torch.isfinite(found).all()):
            raise InputError(f"{method} gives values that are not finite for {self.scan}")
        return found

    def measures(self, found: Tensor) -> dict[str, float]:
        """Return the errors of signals and of the tensors refitted from them."""
        tensors = refit_tensors(found, self.b_rows)
        return signal_measures(found, self.signals) | tensor_measures(tensors, self.tensors)


def _coverages(
    voxels: TrueVoxels, method: str, found: Tensor, deviation: Tensor | None
) -> dict[str, float | str]:
    """Return how often the truth lies within one and two deviations; nothing without them."""
    if deviation is None:
        return dict.fromkeys(COVERAGE, "")
    spread = voxels.signals_of(f"deviations of {method}", deviation)
    return {
        name: coverage(found, voxels.signals, spread, times) for name, times in COVERAGE.items()
    }


def _values(image: Any) -> Tensor:
    """Return the values alone, in double precision on the CPU."""
    return torch.as_tensor(image).as_subclass(Tensor).detach().cpu().double()


def _number(value: Any) -> float | str:
    """Return a number, or nothing."""
    return "" if value is None else float(value)
