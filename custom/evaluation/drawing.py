"""What all figures share: colours, empty figures, plain axes and slices in their true shape."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

__all__ = [
    "GRID",
    "INK",
    "MEASURED",
    "OTHER",
    "SOFT",
    "empty_figure",
    "plain_axes",
    "show_slice",
    "tissue_box",
]

# Okabe and Ito's palette, told apart by colour-blind readers too.
INK = "#1d2733"
MEASURED = "#009e73"
OTHER = "#d55e00"
SOFT = "#8a8f98"
GRID = "#e6e9ee"


def empty_figure(width: float, height: float) -> Figure:
    """Return an empty figure, its size in inches, with some room at the edges."""
    layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06)
    return Figure(figsize=(width, height), facecolor="white", layout=layout)


def show_slice(
    ax: Axes, image: NDArray[Any], pixel_mm: tuple[float, float], **style: Any
) -> AxesImage:
    """Show an array ``(X, Y)`` with X to the right and Y upwards, in the pixels' true shape."""
    ax.set_axis_off()
    aspect = pixel_mm[1] / pixel_mm[0]
    return ax.imshow(image.T, origin="lower", interpolation="nearest", aspect=aspect, **style)


def plain_axes(ax: Axes) -> None:
    """Give a plot a light grid, small ticks and no box."""
    ax.tick_params(labelsize=8)
    ax.grid(color=GRID, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def tissue_box(tissue: NDArray[Any]) -> tuple[slice, slice]:
    """Return the part of a slice ``(X, Y)`` that holds its tissue, with a little air around."""
    box = []
    for found, length in zip(np.nonzero(tissue), tissue.shape, strict=True):
        first, last = np.percentile(found, (0.5, 99.5)) if found.size else (0, length)
        margin = 0.1 * (last - first) + 2
        box.append(slice(max(0, int(first - margin)), min(length, int(last + margin) + 1)))
    return box[0], box[1]
