"""Figures of the quality of an anchored path model's samplers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator
from numpy.typing import NDArray

from custom.analysis.anchored_path.quality import Deviation, StepQuality
from custom.evaluation.drawing import (
    INK,
    MEASURED,
    OTHER,
    empty_figure,
    plain_axes,
    show_slice,
    tissue_box,
)
from custom.evaluation.image_measures import mse, psnr, ssim
from custom.evaluation.measure import higher_is_better, title

__all__ = ["draw_steps", "draw_uncertainty"]

_MEASURES = ("mse", "psnr", "ssim", "seconds")
# Smallest span of a panel, so that insignificant differences do not fill it.
_LEAST_SPAN = {"psnr": 0.5, "ssim": 0.02}  # dB, 1
_LEAST_SHARE = 0.1  # of the MSE of the input


def draw_steps(found: Sequence[StepQuality], untouched: Mapping[str, float]) -> Figure:
    """Draw quality and time against the number of reverse steps.

    Args:
        found: Measures of each sampler and number of steps.
        untouched: The same measures of the input, written above the panels.
    """
    figure = empty_figure(10.4, 6.2)
    for ax, measure in zip(figure.subplots(2, 2).ravel(), _MEASURES, strict=True):
        for stochastic, name, colour, marker in (
            (False, "deterministic", MEASURED, "o"),
            (True, "with the path's noise", OTHER, "s"),
        ):
            rows = [row for row in found if row.stochastic == stochastic]
            ax.plot(
                [row.steps for row in rows],
                [getattr(row, measure) for row in rows],
                color=colour,
                marker=marker,
                markersize=4.5,
                fillstyle="none" if stochastic else "full",
                linewidth=1.5,
                linestyle="--" if stochastic else "-",
                label=name,
            )
        ax.set_xscale("log")
        steps = sorted({row.steps for row in found})
        ax.xaxis.set_major_locator(FixedLocator(steps))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_xticklabels([str(step) for step in steps])
        ax.set_xlabel("reverse steps", fontsize=9, color=INK)
        ax.set_title(_panel_title(measure, untouched), fontsize=10, color=INK)
        plain_axes(ax)
        ax.margins(y=0.12)
        if measure == "seconds":
            ax.set_yscale("log")
            ax.legend(fontsize=9, frameon=False, loc="upper left")
        else:
            ax.ticklabel_format(axis="y", useOffset=False)
            _widen(ax, _LEAST_SPAN.get(measure, _LEAST_SHARE * untouched[measure]))
    return figure


def draw_uncertainty(
    item: Deviation, curve: tuple[NDArray[Any], NDArray[Any]], correlations: Mapping[str, float]
) -> Figure:
    """Draw mean, deviation and error of noisy passes for one slice, cut to its tissue.

    Args:
        item: The slice.
        curve: Predicted deviation and RMS error of groups of pixels, over all slices.
        correlations: Rank correlations of the error, over all slices.
    """
    figure = empty_figure(10.4, 6.9)
    axes = figure.subplots(2, 3)
    pair, error, cut = item.pair, item.error, tissue_box(item.tissue)
    white = max(float(np.percentile(pair.label[0, 0].numpy(), 99.8)), 1e-12)
    grey = {"cmap": "gray", "vmin": 0, "vmax": white}
    maps = {"vmin": 0, "cmap": "magma"}
    panels = (
        ("fast scan", pair.image[0, 0].numpy(), grey),
        ("mean of the passes", item.mean, grey),
        ("reference", pair.label[0, 0].numpy(), grey),
        ("deviation of the passes", item.deviation, maps | _upto(item.deviation)),
        ("|mean - reference|", error, maps | _upto(error)),
    )
    for ax, (name, image, style) in zip(axes.ravel(), panels, strict=False):
        shown = show_slice(ax, image[cut], pair.pixel_mm, **style)
        ax.set_title(name, fontsize=10, color=INK)
        if "cmap" in style and style["cmap"] == "magma":
            bar = figure.colorbar(
                shown, ax=ax, location="bottom", shrink=0.85, aspect=28, pad=0.02, extend="max"
            )
            bar.ax.tick_params(labelsize=8)
            bar.set_label("means of the fast slice", fontsize=8.5, color=INK)
    _draw_reliability(axes[1, 2], curve, correlations)
    figure.suptitle(f"{pair.scan}, slice {pair.index}", fontsize=12, fontweight="bold", color=INK)
    return figure


def _draw_reliability(
    ax: Axes, curve: tuple[NDArray[Any], NDArray[Any]], correlations: Mapping[str, float]
) -> None:
    """Draw the true error against the predicted deviation."""
    told, true = curve
    shown = (told > 0) & (true > 0)  # NaN, where there is no tissue, is neither
    both = np.concatenate([told[shown], true[shown]]) if shown.any() else np.ones(1)
    ends = (0.8 * both.min(), 1.25 * both.max())
    ax.set(xscale="log", yscale="log", xlim=ends, ylim=ends)
    ax.plot(ends, ends, color=INK, linewidth=1.2, label="equal")
    ax.plot(told, true, color=MEASURED, marker="o", markersize=4.5, label="tenths of the pixels")
    ax.set_aspect("equal")
    ax.set_xlabel("deviation of the passes", fontsize=9, color=INK)
    ax.set_ylabel("RMS error", fontsize=9, color=INK)
    ax.set_title("tissue: rank correlation of the\nerror with the deviation "
                 f"{correlations['deviation']:.2f}", fontsize=10, color=INK)  # fmt: skip
    ax.legend(fontsize=8.5, frameon=False, loc="lower right")
    plain_axes(ax)


def _widen(ax: Axes, least: float) -> None:
    """Widen an axis to span at least ``least``."""
    low, high = ax.get_ylim()
    missing = max(0.0, least - (high - low)) / 2
    ax.set_ylim(low - missing, high + missing)


def _upto(image: NDArray[Any]) -> dict[str, float]:
    """Return the upper end of a scale from zero."""
    return {"vmax": float(np.percentile(image, 99.5)) or 1.0}


def _panel_title(measure: str, untouched: Mapping[str, float]) -> str:
    """Return the title of a panel: its measure, which way is better, and the input's value."""
    if measure == "seconds":
        return "seconds a slice (lower is better)"
    about = {of.name: of.about() for of in (mse(), psnr(), ssim())}[measure]
    way = "higher" if higher_is_better(about) else "lower"
    return f"{title(about)} ({way} is better; input {untouched[measure]:.3g})"
