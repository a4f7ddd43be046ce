"""Figures of networks: signals that they restore, their training curves, their latents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from custom.analysis.dwi.error_figures import Styles
from custom.analysis.dwi.latents import LatentMeasures
from custom.evaluation.drawing import (
    COLOURS,
    INK,
    MEASURED,
    OTHER,
    SOFT,
    empty_figure,
    legend_below,
    plain_axes,
)
from custom.report.training_curves import Curves

__all__ = [
    "draw_latent_changes",
    "draw_latent_contributions",
    "draw_latent_distributions",
    "draw_loss_curves",
    "draw_reconstructions",
]

_QUANTITIES = {
    "train_reconstruction": "training: reconstruction",
    "train_kld": "training: divergence, nats",
    "train_loss": "training: loss",
    "val_mse": "held out: MSE, units of $S_0^2$",
}


def draw_reconstructions(
    clean: Tensor, noisy: Tensor, restored: Mapping[str, Tensor], styles: Styles
) -> Figure:
    """Draw a few signals without noise, with noise, and restored by each network.

    Args:
        clean: ``(n, M)``, one column each; measurements are sorted by it.
        noisy: ``(n, M)``.
        restored: Name to ``(n, M)``.
        styles: Lines of the networks.

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
        plain_axes(ax, "measurement, in the order of the clean signal")
        errors = {n: float((v[i] - clean[i]).square().mean()) for n, v in restored.items()}
        _list_errors(axes[1, i], errors, styles)
    plain_axes(axes[0, 0], y="signal, units of $S_0$")
    legend_below(figure, axes[0])
    return figure


def _list_errors(ax: Axes, errors: Mapping[str, float], styles: Styles) -> None:
    """Draw a bar of each network's error, from the top down."""
    for place, (name, error) in enumerate(errors.items()):
        ax.plot((0, error), (place, place), linewidth=2.2, **styles[name])
        ax.annotate(f"{error:.3f}", (error, place), (4, 0), textcoords="offset points",
                    va="center", fontsize=7.5, color=INK)  # fmt: skip
    ax.set_xlim(0, 1.25 * max([*errors.values(), 1e-9]))
    ax.set_ylim(len(errors) - 0.4, -0.6)
    ax.set_yticks(range(len(errors)), list(errors))
    plain_axes(ax, "MSE")


def draw_loss_curves(curves: Mapping[str, Curves], styles: Styles) -> Figure | None:
    """Draw the curves of trainings, by name, one panel a quantity.

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
                points = sorted(found[quantity].items())
                ax.plot(*zip(*points, strict=True), label=name, linewidth=1.4, **styles[name])
        ax.set_yscale("log")
        plain_axes(ax, "epoch", title=title)
        ax.tick_params(which="both", labelsize=8)
    legend_below(figure, axes)
    return figure


def draw_latent_distributions(found: Sequence[LatentMeasures]) -> Figure:
    """Draw histograms of each latent's means, one row a network, largest contribution first."""
    columns = max(item.means.shape[1] for item in found)
    figure = empty_figure(1.55 * columns + 0.8, 1.75 * len(found) + 0.4)
    axes = figure.subplots(len(found), columns, squeeze=False)
    for line, item in zip(axes, found, strict=True):
        for ax in line[len(item.order) :]:
            ax.set_axis_off()
        for ax, j in zip(line, item.order, strict=False):
            values = item.means[:, j].double().numpy()
            colour = MEASURED if bool(item.active[j]) else SOFT
            ax.hist(values, bins=60, density=True, histtype="stepfilled", color=colour, alpha=0.75)
            title = f"latent {j}"
            if item.divergence is not None:
                grid = np.linspace(-4, 4, 200)
                ax.plot(grid, np.exp(-(grid**2) / 2) / np.sqrt(2 * np.pi), color=INK, linewidth=1)
                title += f"\n{float(item.divergence[j]):.2g} nats"
                title += f", sd {float(item.posterior_std[j]):.2g}"
            ax.set_title(title, fontsize=7.5, color=INK)
            ax.set_yticks([])
            plain_axes(ax)
        plain_axes(line[0], y=item.name)
    return figure


def draw_latent_contributions(found: Sequence[LatentMeasures]) -> Figure:
    """Draw each latent's contribution to the reconstruction, and its divergence."""
    figure = empty_figure(2.5 * len(found) + 0.8, 4.6)
    axes = figure.subplots(2, len(found), squeeze=False, sharey="row")
    for (upper, lower), item in zip(axes.T, found, strict=True):
        order = item.order
        places = np.arange(len(order))
        share = item.contribution[order].clamp_min(0).numpy() / item.error
        upper.bar(places, share, color=MEASURED)
        if item.divergence is not None:
            lower.bar(places, item.divergence[order].numpy(), color=OTHER)
        else:
            lower.text(0.5, 0.5, "no divergence", ha="center", fontsize=8, color=SOFT,
                       transform=lower.transAxes)  # fmt: skip
        for ax in (upper, lower):
            ax.set_xticks(places, [str(j) for j in order])
            ax.set_xlim(-0.6, len(order) - 0.4)
        plain_axes(upper, title=f"{item.name}\nMSE {item.error:.4f}")
        plain_axes(lower, f"latent ({int(item.active.sum())} of {len(order)} active)")
    plain_axes(axes[0, 0], y="growth of the MSE with the latent\nat its mean / MSE")
    plain_axes(axes[1, 0], y="divergence, nats")
    return figure


def draw_latent_changes(item: LatentMeasures, b_rows: Tensor) -> Figure:
    """Draw how decoded signals change along each latent.

    Args:
        item: Latents of one network.
        b_rows: ``(M, 6)``; weighted measurements are shown in the order of their direction's angle
            from the z axis.
    """
    order = item.order
    weight = b_rows[:, :3].sum(1)
    along_z = b_rows[:, 2] / weight.clamp_min(1e-9)
    # Without those of b = 50, which hardly depend on their direction.
    weighted = (weight > 0.5 * float(weight.max())).nonzero().squeeze(1)
    columns = weighted[along_z[weighted].argsort(descending=True)]
    change = (item.changes[:, -1] - item.changes[:, 0])[order][:, columns].numpy()
    figure = empty_figure(11.0, 0.36 * len(order) + 1.9)
    left, right = figure.subplots(1, 2, width_ratios=(1.6, 1))
    limit = float(np.abs(change).max()) or 1.0
    image = left.imshow(change, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
    left.set_yticks(range(len(order)), [f"latent {j}" for j in order], fontsize=8)
    left.set_xlabel("weighted measurement, from along z to across", fontsize=9, color=INK)
    left.tick_params(labelsize=8)
    bar = figure.colorbar(image, ax=left, pad=0.01)
    bar.set_label("decoded at +2 sd less at -2 sd, units of $S_0$", fontsize=8, color=INK)
    for place, j in enumerate(order):
        size = item.changes[j].square().mean(1).sqrt()
        line = "-" if place < len(COLOURS) else "--"
        right.plot(item.shifts, size, color=COLOURS[place % len(COLOURS)], linestyle=line,
                   label=f"latent {j}")  # fmt: skip
    right.legend(fontsize=7.5, frameon=False, ncols=2)
    x, y = "latent, standard deviations from its mean", "RMS change of decoded signals"
    plain_axes(right, x, y)
    return figure
