"""Curves of a training: losses, validation measures and learning rate by epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from custom.errors import InputError
from custom.evaluation.drawing import COLOURS, INK, SOFT, empty_figure, plain_axes
from custom.files.csv_table import read_table

__all__ = ["OPTIMUM", "Curves", "draw_curves", "read_curves"]

Curves = dict[str, dict[int, float]]
"""Name of a quantity to epoch to value."""

# Value of the relativistic losses if the critic cannot distinguish the two: log 2
# (docs/methods/gan3d_sr_denoise.md, "Losses").
OPTIMUM = {"critic_loss": math.log(2), "adversarial_loss": math.log(2)}
_PANELS_A_ROW = 3
_COLOURS = (*COLOURS[1:3], COLOURS[0], COLOURS[3], SOFT)


def read_curves(path: str | Path) -> Curves:
    """Read the ``metrics.csv`` of a training: ``epoch`` and one column a quantity.

    Args:
        path: The table. Empty cells are epochs at which a quantity was not measured.

    Raises:
        InputError: If it cannot be read or holds no number.
    """
    curves: Curves = {}
    rows = read_table(path, ("epoch",))
    try:
        for row in rows:
            epoch = int(float(row.pop("epoch")))
            for name, value in row.items():
                if value:
                    curves.setdefault(name, {})[epoch] = float(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path} holds something that is no number: {error}") from error
    if not curves:
        raise InputError(f"{path} holds no epoch: train first")
    return curves


def draw_curves(curves: Mapping[str, Mapping[int, float]]) -> Figure:
    """Draw one panel for each kind of quantity.

    ``train_loss`` and ``val_loss``, or ``train_mse`` and ``val_mse``, share a panel. Panels whose
    values are all positive and span more than a factor of ten are logarithmic. A dashed line in the
    panels of :data:`OPTIMUM` is the value that theory predicts for a relativistic loss in the end.

    Args:
        curves: Name to epoch to value.

    Returns:
        A figure with three panels a row.
    """
    panels: dict[str, list[str]] = {}
    for name in curves:
        if name == "seconds":  # duration of an epoch: in the table, but no curve
            continue
        kind = name.removeprefix("train_").removeprefix("val_")
        panels.setdefault(kind, []).append(name)
    columns = min(_PANELS_A_ROW, len(panels))
    rows = -(-len(panels) // columns)
    figure = empty_figure(3.7 * columns, 3.1 * rows)
    axes = [figure.add_subplot(rows, columns, place + 1) for place in range(len(panels))]
    for ax, (kind, names) in zip(axes, panels.items(), strict=True):
        _draw_panel(ax, kind, {name: curves[name] for name in names})
    return figure


def _draw_panel(ax: Axes, kind: str, curves: Mapping[str, Mapping[int, float]]) -> None:
    """Draw the curves of one kind of quantity."""
    names = list(curves)
    values = [value for curve in curves.values() for value in curve.values()]
    for name, colour in zip(names, _COLOURS * len(names), strict=False):
        epochs = sorted(curves[name])
        ax.plot(
            epochs,
            [curves[name][epoch] for epoch in epochs],
            color=colour,
            label=name,
            linewidth=1.6,
            marker="o" if len(epochs) < 15 else "",
            markersize=3.5,
        )
    if kind in OPTIMUM:
        ax.axhline(OPTIMUM[kind], color=INK, linewidth=1.0, linestyle="--", label="log 2")
    if min(values) > 0 and max(values) / min(values) > 10:
        ax.set_yscale("log")
    ax.set_title(kind if len(names) > 1 else names[0], fontsize=10)
    ax.set_xlabel("epoch", fontsize=9)
    plain_axes(ax)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if len(names) > 1 or kind in OPTIMUM:
        ax.legend(fontsize=8, frameon=False)
