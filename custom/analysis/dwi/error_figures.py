"""Figures of errors of diffusion signals: by noise level, over the mixture, of uncertainty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator

from custom.evaluation.drawing import COLOURS, INK, SOFT, empty_figure, legend_below, plain_axes

__all__ = [
    "Styles",
    "draw_by_noise",
    "draw_calibration",
    "draw_mixture",
    "draw_scale",
    "styles_of",
]

Rows = Sequence[Mapping[str, Any]]
Styles = Mapping[str, Mapping[str, Any]]
"""Name of an estimator to colour and dash of its line, from :func:`styles_of`."""

_HIGHEST_RATIO = 100.0  # upper end of a figure: larger ratios come from a few diverging voxels
_LOWEST_EXCESS = 1e-3
# Every fifth network has the next dash: ten colours alone are hard to tell apart.
_DASHES = ("-", (0, (4, 1.5)), (0, (1.5, 1)))
_ONE_DASH = 5  # networks
_CLASSICAL: dict[str, dict[str, Any]] = {
    "noisy": {"color": SOFT, "linestyle": ":"},
    "WLS": {"color": SOFT, "linestyle": "--"},
    "NLLS": {"color": INK, "linestyle": "--"},
    "DIPY WLS": {"color": SOFT, "linestyle": "-."},
    "DIPY NLLS": {"color": INK, "linestyle": "-."},
}
_LABEL_GAP = 0.048  # share of an axis between two labels


def styles_of(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return colour and dash of each estimator's line, the same in every figure."""
    networks = [name for name in dict.fromkeys(names) if name not in _CLASSICAL]
    found = dict(_CLASSICAL)
    for i, name in enumerate(networks):
        dash = _DASHES[i // _ONE_DASH % len(_DASHES)]
        found[name] = {"color": COLOURS[i % len(COLOURS)], "linestyle": dash}
    return {name: found[name] for name in dict.fromkeys(names)}


def draw_by_noise(rows: Rows, styles: Styles, quantity: str) -> Figure:
    """Draw errors over the limit against the noise level, and the excess on a separate scale.

    Args:
        rows: Rows from :func:`custom.analysis.dwi.by_noise.errors_by_noise`.
        styles: Lines of the estimators; others are left out.
        quantity: ``signal`` or ``tensor``.
    """
    figure = empty_figure(12.5, 5.2)
    left, right = figure.subplots(1, 2)
    unit = "signal" if quantity == "signal" else "tensor elements"
    columns = {left: f"{quantity}_times_limit", right: f"{quantity}_excess"}
    labels = {
        left: f"MSE of the {unit} / that of the posterior mean",
        right: f"mean squared distance of the {unit} from the posterior mean\n/ MSE of the latter",
    }
    for ax, column in columns.items():
        ax.set(xscale="log", yscale="log")
        curves = {name: _curve(rows, name, column) for name in styles}
        for name, curve in curves.items():
            if curve:
                shown = {"linewidth": 1.5, "marker": "o", "markersize": 3.2, **styles[name]}
                ax.plot(*zip(*curve, strict=True), **shown)
        _noise_axis(ax, [sigma for curve in curves.values() for sigma, _ in curve], labels[ax])
        values = [value for curve in curves.values() for _, value in curve if value > 0]
        lowest, highest = (1.0, 1.5) if ax is left else (_LOWEST_EXCESS, 0.1)
        top = min(max([highest, *values]) * 1.3, _HIGHEST_RATIO)
        ax.set_ylim(lowest * (0.97 if ax is left else 1), top)
        _label_ends(ax, {n: (c[-1], styles[n]["color"]) for n, c in curves.items() if c})
    left.axhline(1.0, color=INK, linewidth=1.0)
    _ratio_axis(left)
    return figure


def draw_mixture(rows: Rows, styles: Styles) -> Figure:
    """Draw the errors over the paper's mixture, one line an estimator, beside the printed ones.

    Args:
        rows: Rows from :meth:`custom.analysis.dwi.mixture.SignalMixture.table`.
        styles: Lines of the estimators.
    """
    figure = empty_figure(11.0, 0.27 * len(rows) + 1.2)
    axes = figure.subplots(1, 3, sharey=True)
    names = [str(row["estimator"]) for row in rows]
    titles = {
        "signal_mse": "MSE of signals, units of $S_0^2$",
        "tensor_mse": "MSE of tensor elements, (mm²/s)²",
        "tensor_mae": "MAE of tensor elements, mm²/s",
    }
    for ax, (column, title) in zip(axes, titles.items(), strict=True):
        for place, row in enumerate(rows):
            if row[column] is None or not row[column] > 0:
                continue
            printed = row["source"] == "as printed"
            limit = names[place] not in styles and not printed
            colour = INK if limit or printed else styles[names[place]]["color"]
            marker, fill = ("D", "none") if printed else ("s" if limit else "o", "full")
            ax.plot(row[column], place, marker, color=colour, markersize=5, fillstyle=fill)
            ax.annotate(f"{row[column]:.3g}", (row[column], place), (6, 0), fontsize=7,
                        textcoords="offset points", va="center", color=INK)  # fmt: skip
        least = next((row[column] for row in rows if row["estimator"] == "limit"), None)
        if least:
            ax.axvline(least, color=SOFT, linewidth=1, zorder=0)
        ax.set_xscale("log")
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.margins(x=0.25)
        plain_axes(ax, title=title)
    axes[0].set_yticks(range(len(rows)), names)
    axes[0].invert_yaxis()
    return figure


def draw_calibration(rows: Rows, styles: Styles) -> Figure:
    """Draw the calibration of predicted deviations against the noise level.

    Args:
        rows: Rows from :func:`custom.analysis.dwi.calibration.calibration_by_noise`.
        styles: Lines of the estimators; the posterior itself is black.
    """
    names = [n for n in dict.fromkeys(str(row["estimator"]) for row in rows) if n != "limit"]
    shown = {**{name: styles[name] for name in names}, "limit": {"color": INK, "linestyle": "-"}}
    figure = empty_figure(12.5, 4.4)
    axes = figure.subplots(1, 3)
    panels = {
        "mean_squared_z": ("mean (error / deviation)²", 1.0),
        "within_1": ("share of errors within one deviation", 0.683),
        "correlation": ("correlation with the posterior's deviation", None),
    }
    for ax, (column, (title, target)) in zip(axes, panels.items(), strict=True):
        ax.set_xscale("log")
        for name, style in shown.items():
            curve = _curve(rows, name, column)
            if curve and not (name == "limit" and column == "correlation"):
                ax.plot(*zip(*curve, strict=True), marker="o", markersize=3.5, label=name, **style)
        if target is not None:
            ax.axhline(target, color=SOFT, linewidth=1, linestyle=":")
        _noise_axis(ax, [row["sigma"] for row in rows], title=title)
    values = [row["mean_squared_z"] for row in rows]
    if min(values) > 0 and max(values) / min(values) > 10:
        axes[0].set_yscale("log")
    legend_below(figure, axes)
    return figure


def draw_scale(rows: Rows, styles: Styles) -> Figure:
    """Draw the error of signals with a known and with estimated scales, over the limit.

    Args:
        rows: Rows from :func:`custom.analysis.dwi.by_noise.errors_by_scale`.
        styles: Lines of the estimators, for their colour; the dash is that of the scale.
    """
    figure = empty_figure(7.6, 4.8)
    ax = figure.subplots()
    ax.set(xscale="log", yscale="log")
    kinds = list(dict.fromkeys((str(row["estimator"]), str(row["scale"])) for row in rows))
    dashes = {"known": "-", "mean b0": "--", "fitted": ":", "unknown": "-."}
    ends: dict[str, Any] = {}
    for name, way in kinds:
        part = [row for row in rows if (row["estimator"], row["scale"]) == (name, way)]
        colour = styles[name]["color"] if name in styles else INK
        curve = [(row["sigma"], row["signal_times_limit"]) for row in part]
        ax.plot(*zip(*curve, strict=True), color=colour, linestyle=dashes[way], marker="o",
                markersize=3.5, linewidth=1.5)  # fmt: skip
        ends[name if name not in styles else f"{name}, {way}"] = (curve[-1], colour)
    _noise_axis(ax, [row["sigma"] for row in rows], "MSE of the signal / limit with $S_0$ known")
    ax.set_ylim(0.95, None)
    _ratio_axis(ax)
    _label_ends(ax, ends)
    return figure


def _curve(rows: Rows, name: str, column: str) -> list[tuple[float, float]]:
    """Return the points of one estimator."""
    found = [row for row in rows if row["estimator"] == name and row[column] is not None]
    return [(row["sigma"], row[column]) for row in found]


def _ratio_axis(ax: Axes) -> None:
    """Mark round ratios, more than powers of ten."""
    lower, upper = ax.get_ylim()
    steps = (1, 1.1, 1.2, 1.5, 2, 3, 5, 7) if upper < 10 else (1, 1.5, 2, 3, 5)
    ticks = [step * ten for ten in (1, 10, 100) for step in steps]
    ticks = [tick for tick in (*ticks, 1000) if lower <= tick <= upper and tick not in (11, 15)]
    ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.yaxis.set_minor_locator(NullLocator())


def _noise_axis(ax: Axes, sigmas: Sequence[float], y: str = "", title: str = "") -> None:
    """Mark the noise levels that were measured, and name the axes."""
    ticks = sorted(set(sigmas))
    ax.set_xticks(ticks, [f"{sigma:g}" for sigma in ticks])
    ax.xaxis.set_minor_locator(NullLocator())
    plain_axes(ax, "noise level, units of $S_0$", y, title)


def _label_ends(ax: Axes, ends: Mapping[str, tuple[tuple[float, float], str]]) -> None:
    """Write names beside the last points of lines, moved apart where they would overlap.

    Args:
        ax: Axes whose limits and scales are set.
        ends: Name to the point and its colour.
    """
    lower, upper = ax.get_ylim()
    logarithmic = ax.get_yscale() == "log"

    def share(value: float) -> float:
        value = min(max(value, lower), upper)
        if logarithmic:
            return float(np.log(value / lower) / np.log(upper / lower))
        return (value - lower) / (upper - lower)

    order = sorted(ends, key=lambda name: ends[name][0][1])
    places = [share(ends[name][0][1]) for name in order]
    for i in range(1, len(places)):
        places[i] = max(places[i], places[i - 1] + _LABEL_GAP)
    for i in reversed(range(len(places))):  # labels that were pushed above the top move down again
        most = 1.0 if i == len(places) - 1 else places[i + 1] - _LABEL_GAP
        places[i] = min(places[i], most)
    for name, place in zip(order, places, strict=True):
        (x, y), colour = ends[name]
        line = {"arrowstyle": "-", "color": colour, "linewidth": 0.5, "shrinkB": 3}
        ax.annotate(
            name,
            xy=(x, min(max(y, lower), upper)),
            xytext=(1.03, place),
            textcoords="axes fraction",
            fontsize=8,
            color=colour,
            va="center",
            annotation_clip=False,
            arrowprops=line | {"relpos": (0, 0.5)},
        )
