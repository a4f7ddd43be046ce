"""The figure of rows of images, a column a method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from custom.evaluation.drawing import FRAME, INK, add_scale_bar, show_slice
from custom.evaluation.panel_rows import Row

__all__ = ["draw_rows"]

_BAR = 0.9  # inches: the colour bars with their labels
_LETTERS = 24  # of a column's title, however wide a panel is


def draw_rows(
    rows: Sequence[Row],
    titles: Mapping[str, tuple[str, str]],
    heading: str = "",
    inches: float = 1.75,
    best: str = "",
) -> Figure:
    """Draw rows of images.

    Args:
        rows: Rows from the top; all images of a row share its window.
        titles: Method to its title, the name and the measures, from the left.
        heading: Heading of the figure.
        inches: Width of a panel.
        best: The method whose title is bold.
    """
    named = {
        method: "\n".join([fill(name, _LETTERS, break_on_hyphens=False), told])
        for method, (name, told) in titles.items()
    }
    points = min(11.0, 4.5 * inches)
    lines = 1 + max(title.count("\n") for title in named.values())
    figure, panels, bars = _layout(rows, len(titles), inches, 0.45 + points * lines / 57)
    for row, axes, bar in zip(rows, panels, bars, strict=True):
        for ax in (*axes, bar):
            ax.set_axis_off()
        shown = None
        for ax, method in zip(axes, titles, strict=True):
            if method not in row.images:
                continue
            shown = show_slice(ax, row.images[method], row.pixel_mm, **row.style)
            if row.frame is not None:
                first, second, width, height = row.frame
                corner = (first - 0.5, second - 0.5)
                frame = Rectangle(corner, width, height, fill=False, edgecolor=FRAME, linewidth=1)
                ax.add_patch(frame)
        if row.scale_bar and row.pixel_mm is not None:
            add_scale_bar(axes[0], row.images[next(iter(titles))].shape, row.pixel_mm)
        if row.label and shown is not None:
            bar.set_axis_on()
            figure.colorbar(shown, cax=bar).set_label(row.label, fontsize=8, color=INK)
            bar.tick_params(labelsize=7)
    for ax, (method, title) in zip(panels[0], named.items(), strict=True):
        ax.set_title(
            title, fontsize=points, color=INK, fontweight="bold" if method == best else None
        )
    figure.suptitle(heading, fontsize=points + 3, fontweight="bold", color=INK)
    return figure


def _layout(
    rows: Sequence[Row], columns: int, inches: float, head: float
) -> tuple[Figure, list[list[Axes]], list[Axes]]:
    """Return a figure with a panel for each row and column, and a bar a row.

    Placed by hand: matplotlib's own layout takes seconds for thirty panels.
    """
    heights = [inches * _shape(row) for row in rows]
    width, height = columns * inches + _BAR, 1.06 * sum(heights) + head
    figure = Figure(figsize=(width, height), facecolor="white")
    grid = figure.add_gridspec(
        len(rows),
        columns + 1,
        width_ratios=[1.0] * columns + [0.08],
        height_ratios=heights,
        wspace=0.05,
        hspace=0.05,
        left=0.01,
        right=1 - 0.7 / width,
        bottom=0.02,
        top=1 - head / height,
    )
    places = range(len(rows))
    panels = [[figure.add_subplot(grid[i, k]) for k in range(columns)] for i in places]
    return figure, panels, [figure.add_subplot(grid[i, columns]) for i in places]


def _shape(row: Row) -> float:
    """Return height over width of a row's panels; those without millimetres are square."""
    if row.pixel_mm is None:
        return 1.0
    shape = np.shape(next(iter(row.images.values())))
    return float(row.pixel_mm[1] / row.pixel_mm[0] * shape[1] / shape[0])
