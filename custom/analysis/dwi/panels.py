"""Panels of an evaluation's figures that show a diffusion series."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from custom.analysis.dwi.true_voxels import TrueVoxels
from custom.evaluation.panel_rows import REFERENCE, Row, View
from custom.metrics.dwi_quality import refit_tensors
from custom.physics.diffusion.tensor import fractional_anisotropy

__all__ = ["anisotropy_row", "series_view"]


def series_view(
    item: Mapping[str, Any], methods: Mapping[str, str], index: int | None = None
) -> View:
    """Return the view of a slice of the middle weighted volume, in units of the median ``S_0``.

    Args:
        item: The truth, as :class:`~custom.analysis.dwi.true_voxels.TrueVoxels` takes it, and the
            series of all methods, ``(M, X, Y, Z)``.
        methods: Name of a method to the key of its series.
        index: Place along the last axis; the middle by default.
    """
    voxels = TrueVoxels(item)
    weighted = torch.nonzero(~torch.as_tensor(item["unweighted"]).cpu()).flatten()
    volume = int(weighted[len(weighted) // 2])
    index = voxels.inside.shape[-1] // 2 if index is None else index
    b_value = round(1000 * float(voxels.b_rows[volume, :3].sum()), 3)
    return View(
        item,
        methods,
        index,
        channel=volume,
        unit=float(voxels.scale.median()),
        inside=voxels.inside[..., index].numpy(),
        told={"volume": volume, "b_value": b_value},
    )


def anisotropy_row(view: View) -> Row:
    """Return the row of fractional anisotropy of refitted tensors, 0 to 1, inside the mask.

    Args:
        view: View from :func:`series_view`.
    """
    voxels = TrueVoxels(view.item)
    inside = voxels.inside[..., view.index]
    in_slice = torch.nonzero(voxels.inside)[:, 2] == view.index

    def refitted(method: str, key: str) -> NDArray[Any]:
        signals = voxels.signals_of(method, view.item[key])[in_slice]
        return _map(refit_tensors(signals, voxels.b_rows), inside)

    return Row(
        {method: refitted(method, key) for method, key in view.methods.items()}
        | {REFERENCE: _map(voxels.tensors[in_slice], inside)},
        "fractional anisotropy of the refitted tensors",
        {"cmap": "viridis", "vmin": 0.0, "vmax": 1.0},
        "fractional anisotropy",
        view.pixel_mm,
    )


def _map(tensors: Tensor, inside: Tensor) -> NDArray[Any]:
    """Return fractional anisotropy as a map, NaN outside."""
    values = torch.full(inside.shape, torch.nan, dtype=torch.float64)
    values[inside] = fractional_anisotropy(tensors)
    return np.asarray(values)
