"""Figures of an anchored path: the path itself, and the noise on it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from custom.analysis.anchored_path.noise import AccumulatedNoise, EndpointErrors, PathVariance
from custom.analysis.anchored_path.strip import PathStrip
from custom.evaluation.drawing import (
    COLOURS,
    INK,
    MEASURED,
    OTHER,
    SOFT,
    empty_figure,
    plain_axes,
    show_slice,
    tissue_box,
)

__all__ = ["draw_edges", "draw_endpoint", "draw_path", "draw_variance"]


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
        # Not an axis label: the axes of images are off.
        line[0].text(-0.06, 0.5, name, rotation=90, va="center", ha="right", fontsize=9, color=INK,
                     transform=line[0].transAxes)  # fmt: skip
        if noise:
            bar = figure.colorbar(
                shown, ax=line.tolist(), shrink=0.9, aspect=18, pad=0.01, extend="both"
            )
            bar.set_label("standard deviations\nof the slice", fontsize=8, color=INK)
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
    upper.set_ylabel("variance of $x_t$ / $\\beta^2$", fontsize=9, color=INK)
    upper.legend(fontsize=9, frameon=False, loc="upper left")
    lower.set_ylabel("simulated / theory", fontsize=9, color=INK)
    lower.set_xlabel("step t", fontsize=9, color=INK)
    for ax in (upper, lower):
        plain_axes(ax)
    return figure


def draw_endpoint(curve: EndpointErrors) -> Figure:
    """Draw the distance of the path's end from the scan against ``beta``."""
    figure = empty_figure(7.2, 4.4)
    ax = figure.subplots()
    ax.set(xscale="log", yscale="log")
    means, errors = curve.errors
    ax.plot(curve.end_stds, curve.end_stds**2, color=INK, linewidth=1.4, label="$\\beta^2$")
    ax.errorbar(curve.end_stds, means, errors, fmt="o", color=MEASURED, markersize=4.5, capsize=2,
                label="simulated")  # fmt: skip
    ax.axhline(
        curve.residual_rms**2,
        color=SOFT,
        linewidth=1.2,
        linestyle="--",
        label="mean square of the residuals:\nreference against scan",
    )
    ax.axvline(
        curve.critical, color=OTHER, linewidth=1.4,
        label=f"$\\beta_\\mathrm{{crit}}$ = {curve.critical:.3g}",
    )  # fmt: skip
    ax.axvline(curve.used, color=COLOURS[1], linewidth=1.4, linestyle=":",
               label=f"$\\beta$ of this model = {curve.used:.3g}")  # fmt: skip
    ax.set_xlabel("$\\beta$, standard deviations of the slice", fontsize=9, color=INK)
    ax.set_ylabel("MSE($x_T$, $x_T^*$)", fontsize=9, color=INK)
    ax.legend(fontsize=8.5, frameon=False, loc="lower right")
    plain_axes(ax)
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
        axes[0, place].set_title(_kind(item), fontsize=10.5, fontweight="bold", color=INK)
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
        line[0].text(-0.03, 0.5, name, rotation=90, va="center", ha="right", fontsize=10, color=INK,
                     transform=line[0].transAxes)  # fmt: skip
    return figure


def _kind(item: AccumulatedNoise) -> str:
    """Return the kind of the noise, in words."""
    turned = "rotated" if item.rotated else "not rotated"
    return f"{turned}, centred" if item.centred else turned
