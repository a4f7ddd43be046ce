"""Parts of all figures: colours, empty figures, plain axes, legends, slices in true shape."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

__all__ = [
    "COLOURS",
    "FRAME",
    "INK",
    "MEASURED",
    "OTHER",
    "SOFT",
    "add_scale_bar",
    "empty_figure",
    "legend_below",
    "method_colours",
    "plain_axes",
    "show_slice",
]

# Okabe and Ito's palette, which colour-blind readers can distinguish too.
INK = "#1d2733"
MEASURED = "#009e73"
OTHER = "#d55e00"
SOFT = "#8a8f98"
_GRID = "#e6e9ee"
FRAME = "#e69f00"
# The same without yellow, then four of Tol's; grey and black are for methods without training.
COLOURS = (
    *(MEASURED, "#0072b2", OTHER, "#cc79a7", FRAME, "#56b4e9"),
    *("#882255", "#999933", "#332288", "#8c564b"),
)
_BAR_LENGTHS_MM = (0.5, 1, 2, 5, 10, 20, 50)


def empty_figure(width: float, height: float) -> Figure:
    """Return an empty figure, its size in inches, with some room at the edges."""
    layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06)
    return Figure(figsize=(width, height), facecolor="white", layout=layout)


def method_colours(methods: Sequence[str]) -> dict[str, str]:
    """Return a colour for each method: the model's is green, the first other's is grey.

    Args:
        methods: Their keys in the order of the tables.
    """
    others = [method for method in methods if method != "model"]
    colours = dict(zip(others, (SOFT, *COLOURS[5:0:-1], *COLOURS[6:]), strict=False))
    return {m: MEASURED if m == "model" else colours.get(m, INK) for m in methods}


def plain_axes(ax: Axes, x: str = "", y: str = "", title: str = "") -> None:
    """Give a plot a light grid, small ticks and no box; and name its axes and itself."""
    for name, write in ((x, ax.set_xlabel), (y, ax.set_ylabel), (title, ax.set_title)):
        if name:
            write(name, fontsize=9, color=INK)
    ax.tick_params(labelsize=8)
    ax.grid(color=_GRID, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def legend_below(figure: Figure, axes: Iterable[Axes], columns: int | None = None) -> None:
    """Add one legend for all panels below them, where it hides no line.

    Args:
        figure: Figure from :func:`empty_figure`.
        axes: Its panels; a name that several have is listed once.
        columns: Columns of the legend; by default as many as fit its width.
    """
    found: dict[str, Any] = {}
    for ax in axes:
        for handle, name in zip(*ax.get_legend_handles_labels(), strict=True):
            found.setdefault(name, handle)
    figure.legend(
        found.values(),
        found.keys(),
        loc="outside lower center",
        ncols=columns or min(len(found), max(1, int(figure.get_figwidth() / 1.5))),
        fontsize=8,
        frameon=False,
        handlelength=3,
    )


def show_slice(
    ax: Axes, image: NDArray[Any], pixel_mm: tuple[float, float] | None, **style: Any
) -> AxesImage:
    """Show an array ``(X, Y)`` with X to the right and Y upwards, in the pixels' true shape.

    Args:
        ax: Axes to draw on.
        image: The array.
        pixel_mm: Size of a pixel along ``X`` and ``Y``; None for an array that fills the axes.
        style: Colour map and window, as arguments of ``imshow``.
    """
    ax.set_axis_off()
    aspect: Any = "auto" if pixel_mm is None else pixel_mm[1] / pixel_mm[0]
    return ax.imshow(image.T, origin="lower", interpolation="nearest", aspect=aspect, **style)


def add_scale_bar(ax: Axes, shape: Sequence[int], pixel_mm: tuple[float, float]) -> None:
    """Draw a bar of a round length, about a fifth of the image wide, at its lower left.

    Args:
        ax: Axes that show an image of ``shape`` ``(X, Y)``.
        shape: Shape of the image.
        pixel_mm: Size of a pixel along ``X`` and ``Y``.
    """
    width_mm = shape[0] * pixel_mm[0]
    length = min(_BAR_LENGTHS_MM, key=lambda choice: abs(choice - width_mm / 5))
    pixels, left, low = length / pixel_mm[0], 0.04 * shape[0], 0.04 * shape[1]
    height = 0.012 * shape[1]
    ax.add_patch(Rectangle((left, low), pixels, height, color="white", linewidth=0))
    ax.text(left, low + 2 * height, f"{length} mm", color="white", fontsize=8)
