"""Figures of an evaluation: one slice with its residual maps, and all slices at a glance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from custom.evaluation.names import (
    format_measure,
    higher_is_better,
    measure_name,
    method_name,
)
from custom.evaluation.slice_panels import Comparison

__all__ = ["METHOD_COLOURS", "draw_comparison", "draw_distributions"]

# Okabe and Ito's palette, told apart by colour-blind readers too.
METHOD_COLOURS = {
    "input": "#8a8f98",
    "bicubic": "#56b4e9",
    "nlm": "#e69f00",
    "unet": "#0072b2",
    "model": "#009e73",
}
_OTHER_COLOUR = "#cc79a7"
_INK = "#1d2733"
_BAR_LENGTHS_MM = (0.5, 1, 2, 5, 10, 20, 50)


def draw_comparison(item: Comparison, names: Mapping[str, str] | None = None) -> Figure:
    """Draw low | peers | restored | high, and what all but the last are off by.

    The images share one grey window (0 to the 99.8th percentile of the reference); the residual
    maps, image minus reference, share one scale that is symmetric about zero.

    Args:
        item: The slice.
        names: What methods are called here, see :func:`~custom.evaluation.names.method_name`.

    Returns:
        A figure of two rows; the last panel lists the measures of this slice.
    """
    images = {
        "low resolution": item.low,
        **{method_name(method, names): image for method, image in item.peers.items()},
        (names or {}).get("model", "restored"): item.restored,
    }
    columns = len(images) + 1
    figure = Figure(figsize=(3.5 * columns, 7.7), facecolor="white", layout="constrained")
    axes = figure.subplots(2, columns)
    white = max(float(np.percentile(item.high, 99.8)), np.finfo(float).tiny)
    for ax, (title, image) in zip(
        axes[0], [*images.items(), ("reference", item.high)], strict=True
    ):
        _show(ax, image, item.pixel_mm, title, cmap="gray", vmin=0, vmax=white)
    _add_scale_bar(axes[0, 0], item)
    residuals = {f"{title} - reference": image - item.high for title, image in images.items()}
    _show_residuals(figure, axes[1, :-1], residuals, item.pixel_mm)
    _list_measures(axes[1, -1], item.measures, names)
    figure.suptitle(
        f"{item.scan}, slice {item.slice_index}: {item.chosen}",
        fontsize=12,
        fontweight="bold",
        color=_INK,
    )
    return figure


def draw_distributions(
    rows: Sequence[Mapping[str, Any]],
    measures: Sequence[str],
    names: Mapping[str, str] | None = None,
) -> Figure:
    """Draw every slice's measures, one panel a measure and one column a method.

    Args:
        rows: Rows of ``metrics.csv`` with numbers.
        measures: Columns to draw.
        names: What methods are called here, see :func:`~custom.evaluation.names.method_name`.

    Returns:
        A figure with a box (quartiles, median) over the points of each method.
    """
    methods = list(dict.fromkeys(str(row["method"]) for row in rows))
    figure = Figure(figsize=(3.6 * len(measures), 3.4), facecolor="white", layout="constrained")
    spread = np.random.default_rng(0)
    for ax, measure in zip(np.atleast_1d(figure.subplots(1, len(measures))), measures, strict=True):
        for position, method in enumerate(methods):
            values = np.array([row[measure] for row in rows if row["method"] == method], float)
            values = values[np.isfinite(values)]
            _draw_column(ax, position, values, _colour(method), spread)
        labels = [method_name(method, names).replace(" ", "\n", 1) for method in methods]
        ax.set_xticks(range(len(methods)), labels)
        ax.tick_params(labelsize=8)
        arrow = "higher is better" if higher_is_better(measure) else "lower is better"
        ax.set_title(f"{measure_name(measure)} ({arrow})", fontsize=10, color=_INK)
        ax.grid(axis="y", color="#e6e9ee", linewidth=0.8)
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
    return figure


def _colour(method: str) -> str:
    """Return a method's colour."""
    return METHOD_COLOURS.get(method, _OTHER_COLOUR)


def _draw_column(
    ax: Axes, position: int, values: NDArray[Any], colour: str, spread: np.random.Generator
) -> None:
    """Draw the points and the box of one method."""
    if values.size == 0:
        return
    aside = position + spread.uniform(-0.16, 0.16, values.size)
    ax.scatter(aside, values, s=9, color=colour, alpha=0.55, linewidths=0)
    ax.boxplot(
        values,
        positions=[position],
        widths=0.5,
        showfliers=False,
        medianprops={"color": _INK, "linewidth": 1.4},
        boxprops={"color": _INK},
        whiskerprops={"color": _INK},
        capprops={"color": _INK},
        manage_ticks=False,
    )


def _show(
    ax: Axes, image: NDArray[Any], pixel_mm: tuple[float, float], title: str, **style: Any
) -> AxesImage:
    """Show an array ``(X, Y)`` with X to the right and Y upwards, in the pixels' true shape."""
    ax.set_axis_off()
    ax.set_title(title, fontsize=10, color=_INK)
    aspect = pixel_mm[1] / pixel_mm[0]
    return ax.imshow(image.T, origin="lower", interpolation="nearest", aspect=aspect, **style)


def _show_residuals(
    figure: Figure,
    axes: NDArray[Any],
    residuals: Mapping[str, NDArray[Any]],
    pixel_mm: tuple[float, float],
) -> None:
    """Show residual maps with one scale that is symmetric about zero."""
    limit = max(float(np.percentile(np.abs(values), 99.5)) for values in residuals.values())
    limit = limit or 1.0
    for ax, (title, values) in zip(axes, residuals.items(), strict=True):
        shown = _show(ax, values, pixel_mm, title, cmap="RdBu_r", vmin=-limit, vmax=limit)
    _add_colour_bar(figure, shown, axes)


def _add_colour_bar(figure: Figure, shown: AxesImage, axes: NDArray[Any]) -> None:
    """Draw the scale of the residual maps below them."""
    bar = figure.colorbar(
        shown, ax=axes, location="bottom", shrink=0.7, aspect=40, pad=0.02, extend="both"
    )
    bar.set_label("difference / mean of the low-resolution slice", fontsize=9, color=_INK)
    bar.ax.tick_params(labelsize=8)


def _add_scale_bar(ax: Axes, item: Comparison) -> None:
    """Draw a bar of a round length, about a fifth of the image wide."""
    width_mm = item.low.shape[0] * item.pixel_mm[0]
    length = min(_BAR_LENGTHS_MM, key=lambda choice: abs(choice - width_mm / 5))
    pixels = length / item.pixel_mm[0]
    left, low = 0.04 * item.low.shape[0], 0.04 * item.low.shape[1]
    height = 0.012 * item.low.shape[1]
    ax.add_patch(Rectangle((left, low), pixels, height, color="white", linewidth=0))
    ax.text(
        left + pixels / 2, low + 2 * height, f"{length} mm", color="white", fontsize=8, ha="center"
    )


def _list_measures(
    ax: Axes, measures: Mapping[str, Mapping[str, float]], called: Mapping[str, str] | None
) -> None:
    """Write the slice's measures as a small table, the best of each in bold."""
    ax.set_axis_off()
    names = list(next(iter(measures.values())))
    best = {
        name: (max if higher_is_better(name) else min)(row[name] for row in measures.values())
        for name in names
    }
    table = ax.table(
        cellText=[[format_measure(name, row[name]) for name in names] for row in measures.values()],
        rowLabels=[method_name(method, called) for method in measures],
        colLabels=[measure_name(name) for name in names],
        bbox=Bbox.from_bounds(0.34, 0.3, 0.66, 0.45),
        cellLoc="center",
        edges="horizontal",
    )
    table.auto_set_font_size(False)
    for (line, column), cell in table.get_celld().items():
        cell.set_edgecolor("#c9ced6")
        cell.set_text_props(fontsize=9, color=_INK)
        if line > 0 and column >= 0:
            row = list(measures.values())[line - 1]
            if row[names[column]] == best[names[column]]:
                cell.set_text_props(fontweight="bold")
