"""Figures of an evaluation on volumes: one slice by every method, and curves over the noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from custom.evaluation.names import (
    format_measure,
    higher_is_better,
    measure_name,
    method_name,
)
from custom.evaluation.volume_panels import VolumeComparison

__all__ = ["VOLUME_COLOURS", "draw_noise_curves", "draw_volume_comparison"]

# Okabe and Ito's palette, told apart by colour-blind readers too.
VOLUME_COLOURS = {
    "trilinear": "#8a8f98",
    "cubic": "#56b4e9",
    "nlm": "#e69f00",
    "model": "#009e73",
    "model_consistent": "#0072b2",
    "three_player": "#d55e00",
    "disgan": "#cc79a7",
}
_OTHER_COLOUR = "#6b4c9a"
_MARKERS = "osD^vPX*"
_INK = "#1d2733"
_PANEL, _BAR, _HEAD = 1.75, 0.9, 0.85  # inches: a panel, a bar, titles
_DECADES = 3  # of the k-space residuals


def draw_volume_comparison(
    item: VolumeComparison, names: Mapping[str, str] | None = None
) -> Figure:
    """Draw each method's slice, its enlarged part, what that is off by, and the k-space residual.

    Images share one grey window (0 to the 99.8th percentile of the reference), residuals one scale
    that is symmetric about zero (99.5th percentile of all), k-space residuals one logarithmic
    scale.

    Args:
        item: The slice.
        names: What methods are called here, see :func:`~custom.evaluation.names.method_name`.

    Returns:
        A figure of four rows and one column a method, the reference last.
    """
    aspect = item.pixel_mm[1] / item.pixel_mm[0]
    figure, axes, bars = _layout(item, len(item.images) + 1, aspect)
    white = max(float(np.percentile(item.reference, 99.8)), float(np.finfo(float).tiny))
    grey = {"cmap": "gray", "vmin": 0.0, "vmax": white}
    residuals = {name: _cut(image - item.reference, item) for name, image in item.images.items()}
    limit = float(np.percentile(np.abs(np.stack(list(residuals.values()))), 99.5)) or 1.0
    signed = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
    top = max(float(spectrum.max()) for spectrum in item.spectra.values()) or 1.0
    low = top * 10**-_DECADES
    decades = {"cmap": "magma", "norm": LogNorm(low, top)}
    for column, (method, image) in enumerate([*item.images.items(), ("", item.reference)]):
        _show(axes[0, column], image, aspect, _title(item, method, names), **grey)
        _frame(axes[0, column], item)
        shown = _show(axes[1, column], _cut(image, item), aspect, "", **grey)
        if not method:
            axes[2, column].set_axis_off()
            axes[3, column].set_axis_off()
            continue
        residual = _show(axes[2, column], residuals[method], aspect, "", **signed)
        spectrum = np.maximum(item.spectra[method], low)
        spread = _show(axes[3, column], spectrum, "auto", "", **decades)
    rows = (
        (shown, "image"),
        (residual, "residual"),
        (spread, "k-space residual"),
    )
    for ax, (image_of_row, label) in zip(bars, rows, strict=True):
        figure.colorbar(image_of_row, cax=ax).set_label(label, fontsize=8, color=_INK)
        ax.tick_params(labelsize=7)
    figure.suptitle(_caption(item), fontsize=11, fontweight="bold", color=_INK)
    return figure


def draw_noise_curves(
    rows: Sequence[Mapping[str, Any]],
    measures: Sequence[str] = ("psnr", "ssim", "lpips"),
    names: Mapping[str, str] | None = None,
) -> Figure:
    """Draw how each method fares as noise is added: means over volumes by noise level.

    Args:
        rows: Rows of ``metrics.csv`` with numbers, and None where there is none.
        measures: What to draw; a measure that no row has is left out.
        names: What methods are called here, see :func:`~custom.evaluation.names.method_name`.

    Returns:
        A figure with a panel for each measure.

    Raises:
        ValueError: If no row has any of the measures.
    """
    known = [name for name in measures if any(row.get(name) is not None for row in rows)]
    if not known:
        raise ValueError(f"rows must have one of the measures {tuple(measures)}")
    methods = list(dict.fromkeys(str(row["method"]) for row in rows))
    figure = Figure(figsize=(3.6 * len(known), 3.9), facecolor="white", layout="constrained")
    for ax, measure in zip(np.atleast_1d(figure.subplots(1, len(known))), known, strict=True):
        for place, method in enumerate(methods):
            levels, means = _means(rows, method, measure)
            ax.plot(
                levels,
                means,
                color=VOLUME_COLOURS.get(method, _OTHER_COLOUR),
                marker=_MARKERS[place % len(_MARKERS)],
                markersize=5,
                linewidth=1.6,
                label=method_name(method, names),
            )
        arrow = "higher is better" if higher_is_better(measure) else "lower is better"
        ax.set_title(f"{measure_name(measure)} ({arrow})", fontsize=10, color=_INK)
        ax.set_xlabel("noise / deviation of the reference", fontsize=9)
        ax.tick_params(labelsize=8)
        ax.grid(color="#e6e9ee", linewidth=0.8)
        ax.spines[["top", "right"]].set_visible(False)
    handles, labels = ax.get_legend_handles_labels()
    columns = min(len(handles), 2 * len(known))
    figure.legend(
        handles, labels, loc="outside lower center", ncols=columns, fontsize=8, frameon=False
    )
    return figure


def _means(
    rows: Sequence[Mapping[str, Any]], method: str, measure: str
) -> tuple[list[float], list[float]]:
    """Return noise levels and the mean of a measure at each; what is not finite does not count."""
    found: dict[float, list[float]] = {}
    for row in rows:
        if row["method"] == method and row[measure] is not None and np.isfinite(row[measure]):
            found.setdefault(float(row["noise_level"]), []).append(row[measure])
    levels = sorted(found)
    return levels, [float(np.mean(found[level])) for level in levels]


def _layout(
    item: VolumeComparison, columns: int, aspect: float
) -> tuple[Figure, NDArray[Any], list[Axes]]:
    """Return a figure with four rows of panels, and a bar for each of the last three."""
    whole = aspect * item.reference.shape[1] / item.reference.shape[0]
    zoomed = aspect * item.window[3] / item.window[2]
    heights = [_PANEL * whole, _PANEL * zoomed, _PANEL * zoomed, _PANEL]
    width, height = columns * _PANEL + _BAR, 1.06 * sum(heights) + _HEAD
    figure = Figure(figsize=(width, height), facecolor="white")
    places = {"left": 0.01, "right": 1 - 0.7 / width, "bottom": 0.02, "top": 1 - _HEAD / height}
    grid = figure.add_gridspec(
        4,
        columns + 1,
        width_ratios=[1.0] * columns + [0.08],
        height_ratios=heights,
        wspace=0.05,
        hspace=0.05,
        **places,
    )
    panels = [[figure.add_subplot(grid[row, k]) for k in range(columns)] for row in range(4)]
    return figure, np.array(panels), [figure.add_subplot(grid[row, columns]) for row in (1, 2, 3)]


def _title(item: VolumeComparison, method: str, names: Mapping[str, str] | None) -> str:
    """Return a method's name with its PSNR and SSIM."""
    if not method:
        return "reference\n"
    row = item.measures[method]
    name = method_name(method, names).replace(", ", ",\n")
    values = " / ".join(format_measure(measure, row[measure]) for measure in ("psnr", "ssim"))
    return f"{name}\n{values}"


def _caption(item: VolumeComparison) -> str:
    """Say what is shown."""
    level = f", noise {item.noise_level:g}" if item.noise_level else ""
    return f"{item.scan}{level}, slice {item.slice_index}: {item.chosen} (PSNR [dB] / SSIM)"


def _cut(image: NDArray[Any], item: VolumeComparison) -> NDArray[Any]:
    """Return the part that is enlarged."""
    first, second, rows, columns = item.window
    return image[first : first + rows, second : second + columns]


def _frame(ax: Axes, item: VolumeComparison) -> None:
    """Draw a frame about the part that is enlarged."""
    first, second, rows, columns = item.window
    corner = (first - 0.5, second - 0.5)
    ax.add_patch(Rectangle(corner, rows, columns, fill=False, edgecolor="#e69f00", linewidth=1.0))


def _show(
    ax: Axes, image: NDArray[Any], aspect: float | str, title: str, **style: Any
) -> AxesImage:
    """Show an array ``(X, Y)`` with X to the right and Y upwards."""
    ax.set_axis_off()
    ax.set_title(title, fontsize=8, color=_INK)
    return ax.imshow(image.T, origin="lower", interpolation="nearest", aspect=aspect, **style)  # type: ignore[arg-type]
