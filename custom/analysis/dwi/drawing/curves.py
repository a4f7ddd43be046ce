"""Figures of single signals restored by networks, and of the networks' training curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from custom.evaluation.drawing import INK, SOFT, empty_figure, legend_below, plain_axes
from custom.report.training_curves import Curves

__all__ = ["draw_loss_curves", "draw_reconstructions"]

_QUANTITIES = {
    "train_reconstruction": "training: reconstruction",
    "train_kld": "training: divergence, nats",
    "train_loss": "training: loss",
    "val_mse": "held out: MSE, units of $S_0^2$",
}


def draw_reconstructions(
    clean: Tensor,
    noisy: Tensor,
    restored: Mapping[str, Tensor],
    styles: Mapping[str, Mapping[str, Any]],
) -> Figure:
    """Draw a few signals without noise, with noise, and restored by each network.

    Args:
        clean: ``(n, M)``, one column each; measurements are sorted by it.
        noisy: ``(n, M)``.
        restored: Name to ``(n, M)``.
        styles: Styles from :func:`custom.analysis.dwi.drawing.line_figures.styles_of`.

    Returns:
        Signals above, below the error of each network, which names the lines too.
    """
    height = 0.22 * len(restored) + 0.6
    figure = empty_figure(3.6 * len(clean), 4.0 + height)
    axes = figure.subplots(2, len(clean), squeeze=False, sharey="row", height_ratios=(3.4, height))
    for i, ax in enumerate(axes[0]):
        order = clean[i].argsort(descending=True)
        places = np.arange(len(order))
        ax.plot(places, noisy[i][order], "o", color=SOFT, markersize=3, label="noisy")
        ax.plot(places, clean[i][order], color=INK, linewidth=2.2, label="clean")
        for name, values in restored.items():
            ax.plot(places, values[i][order], linewidth=1.3, **styles[name])
        ax.set_xlabel("measurement, in the order of the clean signal", fontsize=8.5, color=INK)
        plain_axes(ax)
        errors = {
            name: float((values[i] - clean[i]).square().mean()) for name, values in restored.items()
        }
        _list_errors(axes[1, i], errors, styles)
    axes[0, 0].set_ylabel("signal, units of $S_0$", fontsize=9, color=INK)
    legend_below(figure, axes[0])
    return figure


def _list_errors(
    ax: Axes, errors: Mapping[str, float], styles: Mapping[str, Mapping[str, Any]]
) -> None:
    """Draw a bar of each network's error, from the top down."""
    for place, (name, error) in enumerate(errors.items()):
        ax.plot((0, error), (place, place), linewidth=2.2, **styles[name])
        ax.annotate(f"{error:.3f}", (error, place), (4, 0), textcoords="offset points",
                    va="center", fontsize=7.5, color=INK)  # fmt: skip
    ax.set_xlim(0, 1.25 * max([*errors.values(), 1e-9]))
    ax.set_ylim(len(errors) - 0.4, -0.6)
    ax.set_yticks(range(len(errors)), list(errors))
    ax.set_xlabel("MSE", fontsize=8.5, color=INK)
    plain_axes(ax)


def draw_loss_curves(
    curves: Mapping[str, Curves], styles: Mapping[str, Mapping[str, Any]]
) -> Figure | None:
    """Draw the curves of trainings, one panel a quantity.

    Args:
        curves: Name to the result of :func:`custom.report.training_curves.read_curves`.
        styles: Styles from :func:`custom.analysis.dwi.drawing.line_figures.styles_of`.

    Returns:
        None if no training wrote any of the quantities.
    """
    panels = {q: t for q, t in _QUANTITIES.items() if any(q in c for c in curves.values())}
    if not panels:
        return None
    figure = empty_figure(3.5 * len(panels), 4.0)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for ax, (quantity, title) in zip(axes, panels.items(), strict=True):
        for name, found in curves.items():
            if quantity in found:
                epochs = sorted(found[quantity])
                values = [found[quantity][epoch] for epoch in epochs]
                ax.plot(epochs, values, label=name, linewidth=1.4, **styles[name])
        ax.set_yscale("log")
        ax.set_title(title, fontsize=9.5, color=INK)
        ax.set_xlabel("epoch", fontsize=9, color=INK)
        plain_axes(ax)
        ax.tick_params(which="both", labelsize=8)
    legend_below(figure, axes)
    return figure
