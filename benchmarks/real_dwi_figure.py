"""Figure of a real diffusion series, restored by several methods."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks.dwi_methods import METHOD_TITLES
from benchmarks.real_dwi_measures import Array, scalar_maps
from custom.physics.diffusion.gradient_table import GradientTable

METHODS_DRAWN = ("noisy", "ours", "patch2self", "mppca", "non_local_wls")


def draw_repeats(
    made: dict[str, tuple[Array, Array]],
    noisy: tuple[Array, Array],
    table: GradientTable,
    inside: NDArray[np.bool_],
) -> Figure:
    """Draw one weighted volume of the middle slice, what was taken away, and anisotropy."""
    middle, volume = inside.shape[2] // 2, int(np.flatnonzero(~table.unweighted)[5])
    figure = Figure(figsize=(3.0 * len(made), 10.6), facecolor="white", layout="constrained")
    axes = figure.subplots(4, len(made))
    white = np.percentile(noisy[0][..., middle, volume], 99.5)
    noise = np.std((noisy[0] - noisy[1])[inside]) / np.sqrt(2)
    for column, (name, pair) in enumerate(made.items()):
        shown = pair[0][:, :, middle, volume]
        residual = noisy[0][:, :, middle, volume] - shown
        anisotropy = np.zeros(inside.shape[:2], np.float32)
        plane = inside[:, :, middle]
        anisotropy[plane] = scalar_maps(pair[0][:, :, middle], table, plane)["fa"]
        for ax, picture, style in (
            (axes[0, column], shown, {"cmap": "gray", "vmin": 0, "vmax": white}),
            (axes[1, column], residual, {"cmap": "RdBu_r", "vmin": -4 * noise, "vmax": 4 * noise}),
            (axes[2, column], anisotropy, {"cmap": "gray", "vmin": 0, "vmax": 1}),
        ):
            ax.imshow(picture.T, origin="lower", interpolation="nearest", **style)
            ax.set_axis_off()
        axes[0, column].set_title(METHOD_TITLES[name])
        _histogram(axes[3, column], (noisy[0] - pair[0])[inside][:, ~table.unweighted], noise)
    for row, label in enumerate(("b = 1000", "taken away", "FA", "taken away, head")):
        axes[row, 0].text(
            -0.08, 0.5, label, rotation=90, va="center", transform=axes[row, 0].transAxes
        )
    return figure


def _histogram(ax: Any, residual: Array, noise: float) -> None:
    """Draw what was taken away in units of the noise, beside a normal curve."""
    ax.set_yticks([])
    ax.set_xlabel("in deviations of the noise", fontsize=8)
    if not residual.any():
        ax.set_axis_off()
        return
    places = np.linspace(-4, 4, 81)
    ax.hist(residual.ravel() / noise, places, density=True, color="#56b4e9")
    ax.plot(places, np.exp(-(places**2) / 2) / np.sqrt(2 * np.pi), color="#1d2733", linewidth=1)
