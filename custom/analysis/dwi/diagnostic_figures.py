"""Figures of the signal diagnostics, with their captions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure
from torch import Tensor

from custom.analysis.dwi.error_figures import (
    Styles,
    draw_by_noise,
    draw_calibration,
    draw_mixture,
    draw_scale,
)
from custom.analysis.dwi.latents import LatentMeasures
from custom.analysis.dwi.network_figures import (
    draw_latent_changes,
    draw_latent_contributions,
    draw_latent_distributions,
    draw_loss_curves,
    draw_reconstructions,
)
from custom.evaluation.diagnostics_folder import Diagnostic
from custom.report.training_curves import Curves

__all__ = ["STRONGEST", "SignalResults", "signal_figures"]

STRONGEST = 0.91  # the paper's strongest noise
# Title and caption of each figure.
_TEXTS = {
    "signal_by_noise": (
        "Error of the signal by noise level",
        "{signals} signals a level, the same for all. Left: mean squared error over that "
        "of the posterior mean, the best there is (1). Right: how far an estimator is from the "
        "posterior mean itself, which has far less chance in it; 0.01 is one percent more error "
        "than must be. An autoencoder that was trained for all levels alike is near the best at "
        "strong noise alone; at weak noise a plain fit may do better.",
    ),
    "tensor_by_noise": (
        "Error of the tensor by noise level",
        "As above, for the six elements of the tensor: of a fit its own, of a network the "
        "weighted log-linear refit of its signals (floor 0.01, S0 = 1), whose cost at strong "
        "noise even the refitted posterior mean has to bear. Fits that diverge in a few "
        "voxels leave the figure at its top.",
    ),
    "mixture": (
        "The paper's mixture of noise levels",
        "Held-out tensors of the paper's lattice at its 31 levels. Line and squares: the posterior "
        "mean over the lattice, and over all tensors, which does not know the lattice. Open "
        "diamonds: what the paper printed, of a protocol and noisy data not quite the same. The "
        "average is ruled by the strong noise, where all networks are near the limit.",
    ),
    "calibration": (
        "Predicted deviations against errors",
        "Dotted: where a right Gaussian deviation would be; black: the posterior's own. The "
        "deviation of what an autoencoder decodes from drawn latents tells how it scatters, not "
        "how wrong it is: a mean square far above 1 means that it is too sure of itself.",
    ),
    "scale": (
        "What the error of an estimated S0 costs",
        "Error of the signal in units of the true S0. Solid: S0 known; dashed: signals divided by "
        "the mean of their own b <= 50 measurements, which at b = 50 is itself a few percent low; "
        "dotted: by the S0 of a log-linear fit. Black, dash-dotted: the posterior mean for an S0 "
        "of which nothing is known, of noise that is not cut below zero; at the strongest noise "
        "even a bad guess of S0 is better than none.",
    ),
    "reconstructions": (
        "Signals at the paper's strongest noise",
        "Noise level {strongest:g}: the noise is as strong as the unweighted signal. What is "
        "restored lies near the mean of all signals that the measurement allows, and is smoother "
        "than the truth. Below: the error of each network, in the colour of its line.",
    ),
    "latents": (
        "Distributions of the latents",
        "Latents of noisy signals at the paper's levels, those that contribute most first. Line: "
        "the prior of variational ones; nats: mean divergence from it; sd: root mean square of the "
        "deviation that the encoder gives. Grey: carries less than 0.01 nats.",
    ),
    "latent_contributions": (
        "What each latent adds to the reconstruction",
        "Above: by how much the error grows if one latent is set to its mean over all signals, "
        "in units of the error; below: its divergence from the prior.",
    ),
    "latent_changes": (
        "What each latent decodes to",
        "{first}, one latent moved at a time, the others at their mean. A contrast between "
        "measurements along z and across is a direction; a row of one colour is the amount of "
        "diffusion.",
    ),
    "loss_curves": (
        "Curves of the trainings",
        "Losses are each of their own definition and compare along a line, not across "
        "networks; the error on held-out signals compares where the signals are the same.",
    ),
}


@dataclass(frozen=True)
class SignalResults:
    """Results of the measurements.

    Attributes:
        tables: Name to rows.
        styles: Lines of the estimators.
        latents: Latents of every autoencoder.
        reconstructions: A few signals ``(n, M)`` without noise, the same at the strongest noise,
            and these restored by each network.
        curves: Name of a network to those of its training.
        b_rows: ``(M, 6)`` of the protocol.
        signals: Number of signals at each noise level.
    """

    tables: Mapping[str, list[dict[str, Any]]]
    styles: Styles
    latents: Sequence[LatentMeasures]
    reconstructions: tuple[Tensor, Tensor, Mapping[str, Tensor]]
    curves: Mapping[str, Curves]
    b_rows: Tensor
    signals: int


def signal_figures(results: SignalResults) -> Iterator[Diagnostic]:
    """Yield the figures, each drawn when it is requested."""
    rows = {name: _finite(table) for name, table in results.tables.items()}
    styles, found = results.styles, results.latents
    numbers: dict[str, Any] = {"rows": rows["by_noise"], "limits": rows["limits"]}
    figure = draw_by_noise(rows["by_noise"], styles, "signal")
    yield _diagnostic("signal_by_noise", figure, numbers, signals=results.signals)
    if any(row["tensor_mse"] is not None for row in rows["by_noise"]):
        yield _diagnostic("tensor_by_noise", draw_by_noise(rows["by_noise"], styles, "tensor"))
    for name, draw in (
        ("mixture", draw_mixture),
        ("calibration", draw_calibration),
        ("scale", draw_scale),
    ):
        if rows[name]:
            yield _diagnostic(name, draw(rows[name], styles), {"rows": rows[name]})
    figure = draw_reconstructions(*results.reconstructions, styles)
    yield _diagnostic("reconstructions", figure, strongest=STRONGEST)
    if found:
        active = {item.name: int(item.active.sum()) for item in found}
        numbers = {"rows": rows["latents"], "active": active}
        yield _diagnostic("latents", draw_latent_distributions(found), numbers)
        numbers = {"error": {item.name: item.error for item in found}}
        yield _diagnostic("latent_contributions", draw_latent_contributions(found), numbers)
        figure = draw_latent_changes(found[0], results.b_rows)
        yield _diagnostic("latent_changes", figure, first=found[0].name)
    curves = draw_loss_curves(results.curves, styles)
    if curves is not None:
        yield _diagnostic("loss_curves", curves)


def _diagnostic(
    name: str, figure: Figure, numbers: dict[str, Any] | None = None, **told: Any
) -> Diagnostic:
    """Return a figure with its texts."""
    title, caption = _TEXTS[name]
    return Diagnostic(name, title, caption.format(**told), figure, numbers or {})


def _finite(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows with None in place of numbers that JSON cannot hold."""
    return [
        {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
        for row in rows
    ]
