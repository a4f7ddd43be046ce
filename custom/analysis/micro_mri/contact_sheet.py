"""Contact sheet: all slices of a scan in one figure, flagged ones framed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from custom.data.preparation.quality_control import ScanSheet
from custom.evaluation.drawing import FRAME, INK, OTHER
from custom.physics.intensity_statistics import clip_outliers

__all__ = ["draw_contact_sheet"]

_PLAIN = "#c9ced6"
_WIDTH_INCHES = 15.0


def draw_contact_sheet(sheet: ScanSheet, columns: int = 5) -> Figure:
    """Draw each slice of the fast scan beside the same slice of the default scan.

    Both stacks have one grey window each, from 0 to the 99.5th percentile, at most five times the
    tissue, so that a dark slice
    looks dark. A frame marks slices that were flagged (orange) and that the user excluded (red),
    with the reason below.

    Args:
        sheet: The scan.
        columns: Slices in a row.

    Returns:
        A figure of one tile a slice, in the order of the slices, numbered from 0.
    """
    names = list(sheet.stacks)
    count = sheet.stacks[names[0]].shape[-1]
    columns = min(columns, count)
    lines = -(-count // columns)
    width, height = _tile_mm(sheet)
    tile_inches = _WIDTH_INCHES / columns
    label_inches = 0.42
    figure = Figure(
        figsize=(_WIDTH_INCHES, lines * (tile_inches * height / width + label_inches) + 0.8),
        facecolor="white",
        layout=ConstrainedLayoutEngine(w_pad=0.04, h_pad=0.03, wspace=0, hspace=0),
    )
    axes = np.atleast_1d(figure.subplots(lines, columns)).ravel()
    for ax in axes[count:]:
        ax.set_axis_off()
    whites = {
        name: max(float(np.percentile(clip_outliers(sheet.stacks[name]), 99.5)), 1e-12)
        for name in names
    }
    for index, ax in enumerate(axes[:count]):
        _draw_tile(ax, sheet, index, whites)
    figure.suptitle(
        f"{sheet.scan}: {' | '.join(names)}, {_summary(sheet, count)}",
        fontsize=13,
        fontweight="bold",
        color=INK,
    )
    return figure


def _draw_tile(ax: Axes, sheet: ScanSheet, index: int, whites: dict[str, float]) -> None:
    """Draw one slice of every stack side by side, with its number and its flags."""
    left = 0.0
    for name, stack in sheet.stacks.items():
        size = _size_mm(stack, sheet.spacing_mm[name])
        ax.imshow(
            stack[..., index].T,
            cmap="gray",
            vmin=0,
            vmax=whites[name],
            origin="lower",
            extent=(left, left + size[0], 0, size[1]),
            interpolation="nearest",
        )
        left += size[0]
    ax.set_xlim(0, left)
    ax.set_ylim(0, max(_size_mm(s, sheet.spacing_mm[n])[1] for n, s in sheet.stacks.items()))
    ax.set_xticks([])
    ax.set_yticks([])
    flagged = [
        f"{n}: {', '.join(found[index])}" for n, found in sheet.flags.items() if found[index]
    ]
    excluded = index in sheet.excluded
    colour = OTHER if excluded else FRAME if flagged else _PLAIN
    for side in ax.spines.values():
        side.set(color=colour, linewidth=3.5 if flagged or excluded else 0.8)
    snr = " | ".join(_written(values[index]) for values in sheet.snr.values())
    ax.set_title(f"slice {index}   SNR {snr}", fontsize=9, color=INK, loc="left", pad=3)
    words = "; ".join((["excluded"] if excluded else []) + flagged)
    ax.set_xlabel(words, fontsize=8, color=colour if words else INK, labelpad=2)


def _tile_mm(sheet: ScanSheet) -> tuple[float, float]:
    """Return width and height of all stacks side by side."""
    sizes = [_size_mm(stack, sheet.spacing_mm[name]) for name, stack in sheet.stacks.items()]
    return sum(size[0] for size in sizes), max(size[1] for size in sizes)


def _size_mm(stack: NDArray[Any], spacing_mm: Sequence[float]) -> tuple[float, float]:
    """Return the size of a slice."""
    return stack.shape[0] * spacing_mm[0], stack.shape[1] * spacing_mm[1]


def _summary(sheet: ScanSheet, count: int) -> str:
    """Return the number of slices, of flagged ones and of excluded ones, in words."""
    flagged = sum(any(found[index] for found in sheet.flags.values()) for index in range(count))
    return f"{count} slices, {flagged} flagged, {len(sheet.excluded)} excluded"


def _written(snr: float) -> str:
    """Write a signal-to-noise ratio."""
    return f"{snr:.0f}" if np.isfinite(snr) else "?"
