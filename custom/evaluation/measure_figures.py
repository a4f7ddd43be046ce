"""Figures of the measures of an evaluation: distributions by method, means along a column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from custom.evaluation.drawing import INK, empty_figure, legend_below, method_colours, plain_axes
from custom.evaluation.measure import higher_is_better, title

__all__ = ["draw_distributions", "draw_means"]

_MARKERS = "osD^vPX*"
Rows = Sequence[Mapping[str, Any]]
About = Mapping[str, Mapping[str, Any]]


def draw_distributions(
    rows: Rows, measures: About, names: Mapping[str, str] | None = None
) -> Figure:
    """Draw every unit's measures, one panel a measure and one column a method.

    Args:
        rows: Rows of the table, with numbers.
        measures: Columns to draw, each with its entry in ``summary.json``.
        names: Names of methods.

    Returns:
        A figure with a box (quartiles, median) over the points of each method; a value not finite
        has no point.
    """
    colours = method_colours(list(dict.fromkeys(str(row["method"]) for row in rows)))
    figure = empty_figure(3.6 * len(measures), 3.4)
    # A fixed seed: the same table gives the same picture.
    spread = np.random.default_rng(0)
    labels = [(names or {}).get(method, method).replace(" ", "\n", 1) for method in colours]
    line = {"color": INK}
    axes = np.atleast_1d(figure.subplots(1, len(measures)))
    for ax, (name, about) in zip(axes, measures.items(), strict=True):
        boxes = []
        for position, (method, colour) in enumerate(colours.items()):
            values = np.array([row[name] for row in rows if row["method"] == method], float)
            values = values[np.isfinite(values)]
            aside = position + spread.uniform(-0.16, 0.16, values.size)
            ax.scatter(aside, values, s=9, color=colour, alpha=0.55, linewidths=0)
            boxes.append(values)
        ax.boxplot(
            boxes,
            positions=range(len(boxes)),
            widths=0.5,
            showfliers=False,  # all points are drawn already
            medianprops=line | {"linewidth": 1.4},
            boxprops=line,
            whiskerprops=line,
            capprops=line,
            manage_ticks=False,
        )
        ax.set_xticks(range(len(colours)), labels)
        _name_panel(ax, about)
        ax.grid(axis="x", visible=False)
    return figure


def draw_means(
    levels: Mapping[str, Mapping[str, Mapping[str, Any]]],
    label: str,
    measures: About,
    names: Mapping[str, str] | None = None,
) -> Figure:
    """Draw the mean of each method against the level of a group, for example of the noise.

    Args:
        levels: Level, a number as text, to method to measure to its ``mean``: a group of
            ``summary.json``.
        label: Label of the horizontal axis.
        measures: Measures to draw, with their entries in ``summary.json``.
        names: Names of methods.

    Returns:
        A figure with a panel for each measure; a mean that is None has no point.
    """
    figure = empty_figure(3.6 * len(measures), 3.9)
    axes = np.atleast_1d(figure.subplots(1, len(measures)))
    methods = list(dict.fromkeys(method for found in levels.values() for method in found))
    for ax, (measure, about) in zip(axes, measures.items(), strict=True):
        for place, (method, colour) in enumerate(method_colours(methods).items()):
            means = sorted(
                (float(level), found[method][measure]["mean"])
                for level, found in levels.items()
                if found[method][measure]["mean"] is not None
            )
            ax.plot(
                [level for level, _ in means],
                [mean for _, mean in means],
                color=colour,
                marker=_MARKERS[place % len(_MARKERS)],
                markersize=5,
                linewidth=1.6,
                label=(names or {}).get(method, method),
            )
        _name_panel(ax, about)
        ax.set_xlabel(label, fontsize=9, color=INK)
    legend_below(figure, axes, 2 * len(measures))
    return figure


def _name_panel(ax: Axes, about: Mapping[str, Any]) -> None:
    """Set a panel's title: the measure and the direction that is better."""
    way = "higher" if higher_is_better(about) else "lower"
    ax.set_title(f"{title(about)} ({way} is better)", fontsize=10, color=INK)
    plain_axes(ax)
