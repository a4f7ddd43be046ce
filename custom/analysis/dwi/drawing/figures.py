"""Figures of errors of diffusion signals: by noise level, over the mixture, of uncertainty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator

from custom.analysis.dwi.drawing.line_figures import label_ends
from custom.evaluation.drawing import INK, SOFT, empty_figure, legend_below, plain_axes

__all__ = ["draw_by_noise", "draw_calibration", "draw_mixture", "draw_scale"]

_HIGHEST_RATIO = 100.0  # upper end of a figure: larger ratios come from a few diverging voxels
_LOWEST_EXCESS = 1e-3

Rows = Sequence[Mapping[str, Any]]


def draw_by_noise(rows: Rows, styles: Mapping[str, Mapping[str, Any]], quantity: str) -> Figure:
    """Draw errors over the limit against the noise level, and the excess on a separate scale.

    Args:
        rows: Rows from :func:`custom.analysis.dwi.by_noise.errors_by_noise`.
        styles: Styles from :func:`custom.analysis.dwi.drawing.line_figures.styles_of`; others are
            left out.
        quantity: ``signal`` or ``tensor``.
    """
    figure = empty_figure(12.5, 5.2)
    left, right = figure.subplots(1, 2)
    unit = "signal" if quantity == "signal" else "tensor elements"
    columns = {left: f"{quantity}_times_limit", right: f"{quantity}_excess"}
    for ax, column in columns.items():
        ax.set(xscale="log", yscale="log")
        curves = {name: _curve(rows, name, column) for name in styles}
        for name, curve in curves.items():
            if curve:
                shown = {"linewidth": 1.5, "marker": "o", "markersize": 3.2, **styles[name]}
                ax.plot(*zip(*curve, strict=True), **shown)
        _noise_axis(ax, [sigma for curve in curves.values() for sigma, _ in curve])
        values = [value for curve in curves.values() for _, value in curve if value > 0]
        lowest, highest = (1.0, 1.5) if ax is left else (_LOWEST_EXCESS, 0.1)
        top = min(max([highest, *values]) * 1.3, _HIGHEST_RATIO)
        ax.set_ylim(lowest * (0.97 if ax is left else 1), top)
        label_ends(ax, {n: (c[-1], styles[n]["color"]) for n, c in curves.items() if c})
    left.axhline(1.0, color=INK, linewidth=1.0)
    _ratio_axis(left)
    left.set_ylabel(f"MSE of the {unit} / that of the posterior mean", fontsize=9, color=INK)
    right.set_ylabel(
        f"mean squared distance of the {unit} from the posterior mean\n/ MSE of the latter",
        fontsize=9,
        color=INK,
    )
    return figure


def draw_mixture(rows: Rows, styles: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Draw the errors over the paper's mixture, one line an estimator, beside the printed ones.

    Args:
        rows: Rows from :meth:`custom.analysis.dwi.mixture.SignalMixture.table`.
        styles: Styles from :func:`custom.analysis.dwi.drawing.line_figures.styles_of`.
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
        ax.set_title(title, fontsize=9, color=INK)
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.margins(x=0.25)
        plain_axes(ax)
    axes[0].set_yticks(range(len(rows)), names)
    axes[0].invert_yaxis()
    return figure


def draw_calibration(rows: Rows, styles: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Draw the calibration of predicted deviations against the noise level.

    Args:
        rows: Rows from :func:`custom.analysis.dwi.calibration.calibration_by_noise`.
        styles: Styles from :func:`custom.analysis.dwi.drawing.line_figures.styles_of`; the
            posterior itself is black.
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
        _noise_axis(ax, [row["sigma"] for row in rows])
        ax.set_title(title, fontsize=9.5, color=INK)
    values = [row["mean_squared_z"] for row in rows]
    if min(values) > 0 and max(values) / min(values) > 10:
        axes[0].set_yscale("log")
    legend_below(figure, axes)
    return figure


def draw_scale(rows: Rows, styles: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Draw the error of signals with a known and with estimated scales, over the limit.

    Args:
        rows: Rows from :func:`custom.analysis.dwi.scale_errors.errors_by_scale`.
        styles: Styles from :func:`custom.analysis.dwi.drawing.line_figures.styles_of`; the line is
            that of the scale.
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
    _noise_axis(ax, [row["sigma"] for row in rows])
    ax.set_ylim(0.95, None)
    _ratio_axis(ax)
    ax.set_ylabel("MSE of the signal / limit with $S_0$ known", fontsize=9, color=INK)
    label_ends(ax, ends)
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


def _noise_axis(ax: Axes, sigmas: Sequence[float]) -> None:
    """Mark the noise levels that were measured."""
    ticks = sorted(set(sigmas))
    ax.set_xticks(ticks, [f"{sigma:g}" for sigma in ticks])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel("noise level, units of $S_0$", fontsize=9, color=INK)
    plain_axes(ax)
