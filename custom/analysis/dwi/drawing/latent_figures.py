"""Figures of the latents of autoencoders of diffusion signals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from custom.analysis.dwi.latents import LatentMeasures
from custom.evaluation.drawing import COLOURS, INK, MEASURED, OTHER, SOFT, empty_figure, plain_axes

__all__ = [
    "draw_latent_changes",
    "draw_latent_contributions",
    "draw_latent_distributions",
]


def draw_latent_distributions(found: Sequence[LatentMeasures]) -> Figure:
    """Draw histograms of each latent's means, one row a network, largest contribution first."""
    columns = max(item.means.shape[1] for item in found)
    figure = empty_figure(1.55 * columns + 0.8, 1.75 * len(found) + 0.4)
    axes = figure.subplots(len(found), columns, squeeze=False)
    for line, item in zip(axes, found, strict=True):
        order = item.contribution.argsort(descending=True).tolist()
        for ax in line[len(order) :]:
            ax.set_axis_off()
        for ax, j in zip(line, order, strict=False):
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
            ax.tick_params(labelsize=7)
        line[0].set_ylabel(item.name, fontsize=9, color=INK)
    return figure


def draw_latent_contributions(found: Sequence[LatentMeasures]) -> Figure:
    """Draw each latent's contribution to the reconstruction, and its divergence."""
    figure = empty_figure(2.5 * len(found) + 0.8, 4.6)
    axes = figure.subplots(2, len(found), squeeze=False, sharey="row")
    for column, item in zip(axes.T, found, strict=True):
        order = item.contribution.argsort(descending=True).tolist()
        places = np.arange(len(order))
        share = item.contribution[order].clamp_min(0).numpy() / item.error
        column[0].bar(places, share, color=MEASURED)
        column[0].set_title(f"{item.name}\nMSE {item.error:.4f}", fontsize=9, color=INK)
        if item.divergence is not None:
            column[1].bar(places, item.divergence[order].numpy(), color=OTHER)
        else:
            column[1].text(0.5, 0.5, "no divergence", ha="center", fontsize=8, color=SOFT,
                           transform=column[1].transAxes)  # fmt: skip
        for ax in column:
            ax.set_xticks(places, [str(j) for j in order])
            ax.set_xlim(-0.6, len(order) - 0.4)
            plain_axes(ax)
        column[1].set_xlabel(
            f"latent ({int(item.active.sum())} of {len(order)} active)", fontsize=8.5, color=INK
        )
    axes[0, 0].set_ylabel("growth of the MSE with the latent\nat its mean / MSE", fontsize=9)
    axes[1, 0].set_ylabel("divergence, nats", fontsize=9, color=INK)
    return figure


def draw_latent_changes(item: LatentMeasures, b_rows: Tensor) -> Figure:
    """Draw how decoded signals change along each latent.

    Args:
        item: Latents of one network.
        b_rows: ``(M, 6)``; weighted measurements are shown in the order of their direction's angle
            from the z axis.
    """
    order = item.contribution.argsort(descending=True).tolist()
    weight = b_rows[:, :3].sum(1)
    along_z = b_rows[:, 2] / weight.clamp_min(1e-9)
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
    right.set_xlabel("latent, standard deviations from its mean", fontsize=9, color=INK)
    right.set_ylabel("RMS change of decoded signals", fontsize=9, color=INK)
    right.legend(fontsize=7.5, frameon=False, ncols=2)
    plain_axes(right)
    return figure
