"""Figures of an anchored path model: the path, the noise on it, the quality of its samplers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from custom.analysis.anchored_path.noise import AccumulatedNoise, EndpointErrors, PathVariance
from custom.analysis.anchored_path.quality import Deviation
from custom.analysis.anchored_path.slices import PathStrip, tissue_box
from custom.evaluation.drawing import (
    COLOURS,
    INK,
    MEASURED,
    OTHER,
    SOFT,
    empty_figure,
    plain_axes,
    show_slice,
)
from custom.evaluation.image_measures import mse, psnr, ssim
from custom.evaluation.measure import higher_is_better, title

__all__ = [
    "draw_edges",
    "draw_endpoint",
    "draw_path",
    "draw_spread",
    "draw_steps",
    "draw_variance",
]

_MEASURES = ("mse", "psnr", "ssim", "seconds")
# Smallest span of a panel, so that insignificant differences do not fill it.
_LEAST_SPAN = {"psnr": 0.5, "ssim": 0.02}  # dB, 1
_LEAST_SHARE = 0.1  # of the MSE of the input


def draw_path(strip: PathStrip, pixel_mm: tuple[float, float] = (1, 1)) -> Figure:
    """Draw a slice, cut to its tissue, on its way to the scan and back, and the noise on it.

    Args:
        strip: The slice at some steps.
        pixel_mm: Size of a pixel along ``X`` and ``Y``.

    Returns:
        Three rows, one column a step. The images share one grey window (1st to 99.8th percentile
        of the reference), the noise has a symmetric scale of its own.
    """
    rows = {
        "forward: reference → scan": strip.forward,
        "noise part of the above": strip.noise,
        "reverse: restored ← scan": strip.reverse,
    }
    cut = tissue_box(strip.forward[0] > 0.5)  # standardised: air is below the mean
    width, height = (
        size * mm for size, mm in zip(strip.forward[0][cut].shape, pixel_mm, strict=True)
    )
    tile = 2.0
    figure = empty_figure(tile * len(strip.steps) + 1.2, 3 * tile * height / width + 0.5)
    axes = figure.subplots(3, len(strip.steps), squeeze=False)
    black, white = np.percentile(strip.forward[0], (1, 99.8))
    # Noise only adds up along the path: the last step has most of it.
    limit = float(np.percentile(np.abs(strip.noise[-1]), 99.5)) or 1.0
    for line, (name, images) in zip(axes, rows.items(), strict=True):
        noise = images is strip.noise
        style = (
            {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
            if noise
            else {"cmap": "gray", "vmin": black, "vmax": white}
        )
        for ax, image in zip(line, images, strict=True):
            shown = show_slice(ax, image[cut], pixel_mm, **style)
        _name_row(line[0], name)
        if noise:
            bar = figure.colorbar(
                shown, ax=line.tolist(), shrink=0.9, aspect=18, pad=0.01, extend="both"
            )
            bar.set_label("standardised\nunits", fontsize=8, color=INK)
            bar.ax.tick_params(labelsize=7)
    for ax, step in zip(axes[0], strip.steps, strict=True):
        ax.set_title(f"t = {step}", fontsize=10, color=INK)
    return figure


def draw_variance(curve: PathVariance, end_std: float) -> Figure:
    """Draw the variance along the path, simulated and in theory, and their ratio.

    Args:
        curve: The variances.
        end_std: ``beta``, whose square is the unit.
    """
    figure = empty_figure(7.2, 5.0)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2.4, 1))
    upper.plot(curve.steps, curve.theory / end_std**2, color=INK, linewidth=1.4, label="theory")
    lower.axhline(1, color=INK, linewidth=1.4)
    # Apart, so that neither error bar hides the other.
    aside = (curve.steps[1] - curve.steps[0]) * 0.12
    for (means, errors), name, colour, marker, shift in (
        (curve.chain, "chain, link by link", MEASURED, "o", -aside),
        (curve.one_shot, "one draw from the marginal", OTHER, "s", aside),
    ):
        style = {"color": colour, "fmt": marker, "markersize": 4, "capsize": 2, "linewidth": 1}
        unit = end_std**2
        upper.errorbar(curve.steps + shift, means / unit, errors / unit, label=name, **style)
        theory = curve.theory[1:]
        lower.errorbar(curve.steps[1:] + shift, means[1:] / theory, errors[1:] / theory, **style)
    upper.legend(fontsize=9, frameon=False, loc="upper left")
    plain_axes(upper, y="variance of $x_t$ / $\\beta^2$")
    plain_axes(lower, "step t", "simulated / theory")
    return figure


def draw_endpoint(curve: EndpointErrors) -> Figure:
    """Draw the distance of the path's end from the scan against ``beta``."""
    figure = empty_figure(7.2, 4.4)
    ax = figure.subplots()
    ax.set(xscale="log", yscale="log")
    betas, critical, used = curve.end_std, curve.critical_end_std, curve.used_end_std
    ax.plot(betas, betas**2, color=INK, linewidth=1.4, label="$\\beta^2$")
    ax.errorbar(betas, *curve.mse, fmt="o", color=MEASURED, markersize=4.5, capsize=2,
                label="simulated")  # fmt: skip
    ax.axhline(curve.residual_rms**2, color=SOFT, linewidth=1.2, linestyle="--",
               label="mean square of the residuals:\nreference against scan")  # fmt: skip
    ax.axvline(critical, color=OTHER, linewidth=1.4,
               label=f"$\\beta_\\mathrm{{crit}}$ = {critical:.3g}")  # fmt: skip
    ax.axvline(used, color=COLOURS[1], linewidth=1.4, linestyle=":",
               label=f"$\\beta$ of this model = {used:.3g}")  # fmt: skip
    ax.legend(fontsize=8.5, frameon=False, loc="lower right")
    plain_axes(ax, "$\\beta$, standardised units", "MSE($x_T$, $x_T^*$)")
    return figure


def draw_edges(columns: Sequence[AccumulatedNoise]) -> Figure:
    """Draw accumulated noise of several kinds side by side.

    Args:
        columns: One entry for each kind, all with the same number of chains.

    Returns:
        Upper row one chain each, lower row the mean over all chains, which would be close to zero
        if the chains were independent; all on one scale.
    """
    figure = empty_figure(3.1 * len(columns) + 1.2, 7.3)
    axes = figure.subplots(2, len(columns), squeeze=False)
    for place, item in enumerate(columns):
        for ax, image in zip(axes[:, place], (item.example, item.mean), strict=True):
            shown = show_slice(ax, image, (1, 1), cmap="RdBu_r", vmin=-3, vmax=3)
        kind = ("rotated" if item.rotated else "not rotated") + ", centred" * item.centred
        axes[0, place].set_title(kind, fontsize=10.5, fontweight="bold", color=INK)
        size, error = item.direction
        axes[1, place].set_title(
            f"common to all chains: {item.fixed_share:.0%} of the variance\n"
            f"preferred direction of edges: {size:.3f} ± {error:.3f}",
            y=-0.17,
            fontsize=9,
            color=INK,
        )
    bar = figure.colorbar(shown, ax=axes, shrink=0.6, aspect=30, pad=0.02, extend="both")
    bar.ax.tick_params(labelsize=8)
    bar.set_label("units of $\\beta$", fontsize=9, color=INK)
    for line, name in zip(axes, ("one chain", f"mean of {columns[0].draws} chains"), strict=True):
        _name_row(line[0], name)
    return figure


def _name_row(ax: Axes, name: str) -> None:
    """Name a row of images at its first; not as an axis label: the axes of images are off."""
    ax.text(-0.05, 0.5, name, rotation=90, va="center", ha="right", fontsize=9, color=INK,
            transform=ax.transAxes)  # fmt: skip


def draw_steps(found: Sequence[Mapping[str, Any]], untouched: Mapping[str, float]) -> Figure:
    """Draw quality and time against the number of reverse steps.

    Args:
        found: Rows from :func:`custom.analysis.anchored_path.quality.step_quality`.
        untouched: The same measures of the input, written above the panels.
    """
    figure = empty_figure(10.4, 6.2)
    for ax, measure in zip(figure.subplots(2, 2).ravel(), _MEASURES, strict=True):
        for stochastic, name, colour, marker in (
            (False, "deterministic", MEASURED, "o"),
            (True, "with the path's noise", OTHER, "s"),
        ):
            rows = [row for row in found if row["stochastic"] == stochastic]
            ax.plot(
                [row["steps"] for row in rows],
                [row[measure] for row in rows],
                color=colour,
                marker=marker,
                markersize=4.5,
                fillstyle="none" if stochastic else "full",
                linewidth=1.5,
                linestyle="--" if stochastic else "-",
                label=name,
            )
        ax.set_xscale("log")
        steps = sorted({row["steps"] for row in found})
        ax.set_xticks(steps, [str(step) for step in steps])
        ax.xaxis.set_minor_locator(NullLocator())
        plain_axes(ax, "reverse steps", title=_panel_title(measure, untouched))
        ax.margins(y=0.12)
        if measure == "seconds":
            ax.set_yscale("log")
            ax.legend(fontsize=9, frameon=False, loc="upper left")
        else:
            ax.ticklabel_format(axis="y", useOffset=False)
            _widen(ax, _LEAST_SPAN.get(measure, _LEAST_SHARE * untouched[measure]))
    return figure


def draw_spread(
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
    panels = (
        ("fast scan", pair.image[0, 0].numpy(), grey),
        ("mean of the passes", item.mean, grey),
        ("reference", pair.label[0, 0].numpy(), grey),
        ("deviation of the passes", item.deviation, _from_zero(item.deviation)),
        ("|mean - reference|", error, _from_zero(error)),
    )
    for ax, (name, image, style) in zip(axes.ravel(), panels, strict=False):
        shown = show_slice(ax, image[cut], pair.pixel_mm, **style)
        ax.set_title(name, fontsize=10, color=INK)
        if style["cmap"] == "magma":
            bar = figure.colorbar(
                shown, ax=ax, location="bottom", shrink=0.85, aspect=28, pad=0.02, extend="max"
            )
            bar.ax.tick_params(labelsize=8)
            bar.set_label("units of the slice's scale", fontsize=8.5, color=INK)
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
    ax.legend(fontsize=8.5, frameon=False, loc="lower right")
    rank = f"{correlations['deviation']:.2f}"
    heading = f"tissue: rank correlation of the\nerror with the deviation {rank}"
    plain_axes(ax, "deviation of the passes", "RMS error", heading)


def _widen(ax: Axes, least: float) -> None:
    """Widen an axis to span at least ``least``."""
    low, high = ax.get_ylim()
    missing = max(0.0, least - (high - low)) / 2
    ax.set_ylim(low - missing, high + missing)


def _from_zero(image: NDArray[Any]) -> dict[str, Any]:
    """Return the style of a map of values from zero."""
    return {"cmap": "magma", "vmin": 0, "vmax": float(np.percentile(image, 99.5)) or 1.0}


def _panel_title(measure: str, untouched: Mapping[str, float]) -> str:
    """Return the title of a panel: its measure, which way is better, and the input's value."""
    if measure == "seconds":
        return "seconds a slice (lower is better)"
    about = {of.name: of.about() for of in (mse(), psnr(), ssim())}[measure]
    way = "higher" if higher_is_better(about) else "lower"
    return f"{title(about)} ({way} is better; input {untouched[measure]:.3g})"
