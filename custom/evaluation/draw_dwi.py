"""Figures of an evaluation on diffusion series: one slice by every method, with its residuals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from custom.evaluation.dwi_panels import DwiComparison
from custom.evaluation.names import method_name

__all__ = ["draw_dwi_comparison"]

_INK = "#1d2733"
_PANEL, _BAR, _HEAD = 1.75, 0.9, 0.75  # inches: width of a panel and of a bar, height of titles


def draw_dwi_comparison(item: DwiComparison, names: Mapping[str, str] | None = None) -> Figure:
    """Draw signals, residuals and fractional anisotropy of every method, and the truth.

    Signals share one grey window (0 to the 99.8th percentile of the truth), residuals one scale
    that is symmetric about zero, anisotropy goes from 0 to 1; both are of the mask alone.

    Args:
        item: The slice.
        names: What methods are called here, see :func:`~custom.evaluation.names.method_name`.

    Returns:
        A figure of three rows and one column a method, the truth last.
    """
    columns = len(item.signals) + 1
    aspect = item.pixel_mm[1] / item.pixel_mm[0]
    figure, axes, bars = _layout(columns, aspect * np.divide(*reversed(item.true_signals.shape)))
    outside = np.isnan(item.true_anisotropy)
    residuals = {
        name: np.where(outside, np.nan, image - item.true_signals)
        for name, image in item.signals.items()
    }
    limit = max(float(np.max(np.abs(image[~outside]), initial=0)) for image in residuals.values())
    grey = {"cmap": "gray", "vmin": 0.0, "vmax": _bright(item.true_signals)}
    signed = {"cmap": "RdBu_r", "vmin": -(limit or 1.0), "vmax": limit or 1.0}
    share = {"cmap": "viridis", "vmin": 0.0, "vmax": 1.0}
    for column, (method, image) in enumerate(item.signals.items()):
        title = f"{method_name(method, names)}\nMSE {item.measures[method]['mse']:.2g}"
        _show(axes[0, column], image, aspect, title, **grey)
        residual = _show(axes[1, column], residuals[method], aspect, "", **signed)
        _show(axes[2, column], item.anisotropy[method], aspect, "", **share)
    signal = _show(axes[0, -1], item.true_signals, aspect, "truth\n", **grey)
    axes[1, -1].set_axis_off()
    anisotropy = _show(axes[2, -1], item.true_anisotropy, aspect, "", **share)
    labels = ("signal / median S0", "residual / median S0", "fractional anisotropy")
    for ax, shown, label in zip(bars, (signal, residual, anisotropy), labels, strict=True):
        figure.colorbar(shown, cax=ax).set_label(label, fontsize=8, color=_INK)
        ax.tick_params(labelsize=7)
    figure.suptitle(_caption(item), fontsize=11, fontweight="bold", color=_INK)
    return figure


def _layout(columns: int, shape: float) -> tuple[Figure, NDArray[Any], list[Axes]]:
    """Return a figure with three rows of panels, ``height / width`` of each, and a bar a row.

    Placed by hand: matplotlib's own layout takes seconds for thirty panels.
    """
    width, height = columns * _PANEL + _BAR, 3 * _PANEL * shape + _HEAD
    figure = Figure(figsize=(width, height), facecolor="white")
    places = {"left": 0.01, "right": 1 - 0.7 / width, "bottom": 0.02, "top": 1 - _HEAD / height}
    grid = figure.add_gridspec(
        3, columns + 1, width_ratios=[1.0] * columns + [0.08], wspace=0.05, hspace=0.05, **places
    )
    panels = [[figure.add_subplot(grid[row, k]) for k in range(columns)] for row in range(3)]
    return figure, np.array(panels), [figure.add_subplot(grid[row, columns]) for row in range(3)]


def _caption(item: DwiComparison) -> str:
    """Say what is shown."""
    level = "" if item.noise_level is None else f", noise {item.noise_level:g} of S0"
    return (
        f"{item.scan}{level}: slice {item.slice_index}, volume {item.volume}, "
        f"b = {item.b_value:.0f} s/mm²"
    )


def _bright(image: NDArray[Any]) -> float:
    """Return the upper end of a grey window."""
    return max(float(np.percentile(image, 99.8)), float(np.finfo(float).tiny))


def _show(ax: Axes, image: NDArray[Any], aspect: float, title: str, **style: Any) -> AxesImage:
    """Show an array ``(X, Y)`` with X to the right and Y upwards, in the pixels' true shape."""
    ax.set_axis_off()
    ax.set_title(title, fontsize=8, color=_INK)
    return ax.imshow(image.T, origin="lower", interpolation="nearest", aspect=aspect, **style)
