"""Panels of an evaluation's figures that show a volume in k-space."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.colors import LogNorm
from numpy.typing import NDArray
from torch import Tensor

from custom.evaluation.panel_rows import Row, View
from custom.metrics.image_pairs import plain
from custom.metrics.kspace_error import central_spectrum, spectrum_band

__all__ = ["kspace_row", "volume_values"]

_DECADES = 3  # of the logarithmic scale


def kspace_row(view: View, scale: int = 2) -> Row:
    """Return the row of ``|F (x - y)|`` of each method's volume ``x`` and the reference ``y``.

    Of the whole volume at the frequency 0 of the last axis, in the centre of k-space, over the root
    mean square of ``|F y|`` there.

    Args:
        view: A slice of volumes ``(1, D, H, W)``.
        scale: Ratio of the grids, which bounds the centre of k-space.
    """
    reference = volume_values(view.item["label"])
    band = spectrum_band(reference.shape[:2], scale)
    spectrum = _plane(reference, band)
    unit = float(np.sqrt(np.mean(np.abs(spectrum) ** 2))) or 1.0
    found = {
        method: np.abs(_plane(volume_values(view.item[key]), band) - spectrum) / unit
        for method, key in view.methods.items()
    }
    top = max(float(residual.max()) for residual in found.values()) or 1.0
    low = top * 10**-_DECADES
    return Row(
        {method: np.maximum(residual, low) for method, residual in found.items()},
        "residual of the volume in the centre of k-space, over the root mean square of the "
        "reference there",
        {"cmap": "magma", "norm": LogNorm(low, top)},
        "k-space residual",
        None,
    )


def volume_values(volume: Tensor) -> NDArray[Any]:
    """Return the values ``(D, H, W)`` of a volume ``(1, D, H, W)``, float32 on the CPU."""
    return np.asarray(plain(volume)[0].float().cpu())


def _plane(volume: NDArray[Any], band: tuple[int, ...]) -> NDArray[Any]:
    """Return the centre of k-space of a volume at the frequency 0 of the last axis."""
    # The plane at frequency 0 is the transform of the projection; the root keeps it orthonormal.
    projection = np.sum(volume, axis=2, keepdims=True, dtype=np.float64) / volume.shape[2] ** 0.5
    return central_spectrum(projection, (*band, 1))[..., 0]
