"""The voxels of a diffusion series in which an evaluation compares methods with the truth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from custom.errors import InputError
from custom.evaluation.summary import spread
from custom.evaluation.units import Units
from custom.metrics.dwi_quality import refit_tensors, signal_measures, tensor_measures
from custom.metrics.image_pairs import plain

__all__ = ["ComparedSignals", "Series", "TrueVoxels"]


class ComparedSignals:
    """The signals of one method with the truth, the argument of measures of signals.

    Attributes:
        voxels: The voxels, with the truth.
        found: Signals of the method, ``(n, M)`` in units of the true ``S_0``.
        deviation: The method's estimate of their error, of the same shape; None if it gives none.
    """

    def __init__(self, voxels: TrueVoxels, found: Tensor, deviation: Tensor | None) -> None:
        self.voxels = voxels
        self.found = found
        self.deviation = deviation

    @cached_property
    def errors(self) -> dict[str, float]:
        """Errors of the signals and of the refitted tensors, computed once for all measures."""
        tensors = refit_tensors(self.found, self.voxels.b_rows)
        of_signals = signal_measures(self.found, self.voxels.signals)
        return of_signals | tensor_measures(tensors, self.voxels.tensors)


class TrueVoxels:
    """The voxels of a scan in which methods are compared with the truth; one unit.

    Signals are in units of the voxel's true ``S_0``: that of the item's ``s0``, else the mean of
    the truth's unweighted volumes. The voxels are those of the item's mask, else those that the
    model restored, where ``S_0`` is positive. The true tensors are those of the item, else they are
    refitted from the truth.

    Args:
        item: ``label``, ``unweighted``, ``b_rows`` and, where they are known, ``mask`` (else
            ``image_mask``), ``s0`` and ``tensor``.
        about: Columns that identify the scan in a table.
        deviations: Name of a method to the key of its deviations, where it has any.

    Attributes:
        inside: ``(X, Y, Z)``: mask of the voxels in the volume.
        scale: ``(n, 1)``: their true ``S_0``.
        signals: ``(n, M)`` in units of ``S_0``.
        tensors: ``(n, 6)`` in µm²/ms.

    Raises:
        InputError: If no voxel is left.
    """

    def __init__(
        self,
        item: Mapping[str, Any],
        about: Mapping[str, Any] | None = None,
        deviations: Mapping[str, str] | None = None,
    ) -> None:
        self.item = item
        self.name = str(item.get("scan", "scan"))
        self.deviations = dict(deviations or {})
        self.b_rows = _values(item["b_rows"])
        label = _values(item["label"])
        if "s0" in item:
            scale = _values(item["s0"])[0]
        else:
            scale = label[torch.as_tensor(item["unweighted"]).cpu()].mean(0)
        mask = _values(item["mask" if "mask" in item else "image_mask"])[0]
        self.inside = (mask > 0) & (scale > 0)
        if not self.inside.any():
            raise InputError(
                f"{self.name} has no voxel to evaluate: its mask or S0 is 0 everywhere"
            )
        self.scale = scale[self.inside].unsqueeze(1)
        self.shape = label.shape
        self.signals = label[:, self.inside].T / self.scale
        self.rows = [{**(about or {}), "voxels": len(self.signals)}]
        self.further: list[dict[str, Any]] = [{}]

    @cached_property
    def tensors(self) -> Tensor:
        """The true tensors."""
        if "tensor" in self.item:
            return _values(self.item["tensor"])[:, self.inside].T
        return refit_tensors(self.signals, self.b_rows)

    def compare(self, method: str, key: str) -> ComparedSignals:
        """Return a method's signals beside the truth.

        Raises:
            ValueError, InputError: See :meth:`signals_of`.
        """
        deviation = self.item.get(self.deviations.get(method, ""))
        if deviation is not None:
            deviation = self.signals_of(f"deviations of {method}", deviation)
        return ComparedSignals(self, self.signals_of(method, self.item[key]), deviation)

    def signals_of(self, method: str, series: Tensor) -> Tensor:
        """Return a method's signals in these voxels, ``(n, M)`` in units of the true ``S_0``.

        Raises:
            ValueError: If the series has not the shape of the truth.
            InputError: If it is not finite there.
        """
        values = _values(series)
        if values.shape != self.shape:
            raise ValueError(
                f"{method} must give {tuple(self.shape)} for {self.name}, got "
                f"{tuple(values.shape)}: part deviations off with SplitDeviationsd"
            )
        found = values[:, self.inside].T / self.scale
        if not bool(torch.isfinite(found).all()):
            raise InputError(f"{method} gives values that are not finite for {self.name}")
        return found


class Series(Units):
    """Every diffusion series is a unit, of its :class:`TrueVoxels`; ``voxels`` is their number.

    Args:
        columns: See :class:`~custom.evaluation.units.Units`.
        deviations: Name of a method to the key of its deviations, where it has any.

    Shape:
        Series, deviations: ``(M, X, Y, Z)``; tensor: ``(6, X, Y, Z)``; mask, ``S_0``:
        ``(1, X, Y, Z)``.
    """

    own, further = ("voxels",), ()

    def __init__(
        self,
        columns: Iterable[str] | Mapping[str, str],
        deviations: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(columns)
        self.deviations = dict(deviations or {})

    def start(self) -> None:
        """Discard the state of an earlier run."""
        self.noise_sources: set[str] = set()

    def __call__(self, item: Mapping[str, Any]) -> TrueVoxels:
        """Return the unit of an item."""
        self.noise_sources.add(str(item.get("noise_source", "")))
        return TrueVoxels(item, self.about(item), self.deviations)

    def facts(self) -> dict[str, str]:
        """Return the source of the model's noise level."""
        return {"noise of the model": ", ".join(sorted(self.noise_sources))}

    def tables(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return mean and deviation of the estimates of the noise, by its true level."""
        scans = {row["scan"]: (row["noise_level"], row["noise_estimate"]) for row in rows}
        levels = sorted({level for level, _ in scans.values()})
        found = {
            level: spread(float(value) for of, value in scans.values() if of == level and value)
            for level in levels
        }
        return [
            {
                "title": "Noise",
                "columns": ["true level", "estimate", "deviation", "scans"],
                "rows": [
                    [level or "unknown", of["mean"], of["std"], of["n"]]
                    for level, of in found.items()
                ],
                "caption": "In units of S0.",
            }
        ]


def _values(image: Any) -> Tensor:
    """Return the values alone, in double precision on the CPU."""
    return plain(image).cpu().double()
