"""Figures of the signal diagnostics, with their captions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from custom.analysis.dwi.drawing.curves import draw_loss_curves, draw_reconstructions
from custom.analysis.dwi.drawing.figures import (
    draw_by_noise,
    draw_calibration,
    draw_mixture,
    draw_scale,
)
from custom.analysis.dwi.drawing.latent_figures import (
    draw_latent_changes,
    draw_latent_contributions,
    draw_latent_distributions,
)
from custom.analysis.dwi.latents import LatentMeasures
from custom.evaluation.diagnostics_folder import Diagnostic
from custom.report.training_curves import Curves

__all__ = ["Reconstructions", "SignalResults", "signal_figures"]


@dataclass(frozen=True)
class Reconstructions:
    """A few signals, ``(n, M)`` each, and their reconstructions by networks.

    Attributes:
        sigma: Their noise level.
        clean: Without noise.
        noisy: With noise.
        restored: Name to signals.
    """

    sigma: float
    clean: Tensor
    noisy: Tensor
    restored: Mapping[str, Tensor]


@dataclass(frozen=True)
class SignalResults:
    """Results of the measurements.

    Attributes:
        tables: Name to columns and rows.
        styles: Styles from :func:`custom.analysis.dwi.drawing.line_figures.styles_of`.
        latents: Latents of every autoencoder.
        reconstructions: At the strongest noise.
        curves: Name of a network to those of its training.
        b_rows: ``(M, 6)`` of the protocol.
        signals: Number of signals at each noise level.
    """

    tables: Mapping[str, tuple[Sequence[str], list[dict[str, Any]]]]
    styles: Mapping[str, Mapping[str, Any]]
    latents: Sequence[LatentMeasures]
    reconstructions: Reconstructions
    curves: Mapping[str, Curves]
    b_rows: Tensor
    signals: int


def signal_figures(results: SignalResults) -> Iterator[Diagnostic]:
    """Yield the figures, each drawn when it is requested."""
    rows = {name: _finite(table) for name, (_, table) in results.tables.items()}
    yield from _by_noise(results, rows)
    if rows["mixture"]:
        yield _mixture(results, rows["mixture"])
    yield _calibration(results, rows["calibration"])
    if rows["scale"]:
        yield _scale(results, rows["scale"])
    yield _reconstructions(results)
    if results.latents:
        yield from _latents(results, rows["latents"])
    curves = draw_loss_curves(results.curves, results.styles)
    if curves is not None:
        yield Diagnostic(
            "loss_curves",
            "Curves of the trainings",
            "Losses are each of their own definition and compare along a line, not across "
            "networks; the error on held-out signals compares where the signals are the same.",
            curves,
        )


def _by_noise(
    results: SignalResults, rows: Mapping[str, list[dict[str, Any]]]
) -> Iterator[Diagnostic]:
    """Show the errors of signals and of tensors by noise level."""
    numbers = {"rows": rows["by_noise"], "limits": rows["limits"]}
    yield Diagnostic(
        "signal_by_noise",
        "Error of the signal by noise level",
        f"{results.signals} signals a level, the same for all. Left: mean squared error over that "
        "of the posterior mean, the best there is (1). Right: how far an estimator is from the "
        "posterior mean itself, which has far less chance in it; 0.01 is one percent more error "
        "than must be. An autoencoder that was trained for all levels alike is near the best at "
        "strong noise alone; at weak noise a plain fit may do better.",
        draw_by_noise(numbers["rows"], results.styles, "signal"),
        numbers,
    )
    if any(row["tensor_mse"] is not None for row in numbers["rows"]):
        yield Diagnostic(
            "tensor_by_noise",
            "Error of the tensor by noise level",
            "As above, for the six elements of the tensor: of a fit its own, of a network the "
            "weighted log-linear refit of its signals (floor 0.01, S0 = 1), whose cost at strong "
            "noise even the refitted posterior mean has to bear. Fits that diverge in a few "
            "voxels leave the figure at its top.",
            draw_by_noise(numbers["rows"], results.styles, "tensor"),
        )


def _mixture(results: SignalResults, rows: list[dict[str, Any]]) -> Diagnostic:
    """Show the paper's two tables."""
    return Diagnostic(
        "mixture",
        "The paper's mixture of noise levels",
        "Held-out tensors of the paper's lattice at its 31 levels. Line and squares: the posterior "
        "mean over the lattice, and over all tensors, which does not know the lattice. Open "
        "diamonds: what the paper printed, of a protocol and noisy data not quite the same. The "
        "average is ruled by the strong noise, where all networks are near the limit.",
        draw_mixture(rows, results.styles),
        {"rows": rows},
    )


def _calibration(results: SignalResults, rows: list[dict[str, Any]]) -> Diagnostic:
    """Show the calibration of predicted deviations."""
    return Diagnostic(
        "calibration",
        "Predicted deviations against errors",
        "Dotted: where a right Gaussian deviation would be; black: the posterior's own. The "
        "deviation of what an autoencoder decodes from drawn latents tells how it scatters, not "
        "how wrong it is: a mean square far above 1 means that it is too sure of itself.",
        draw_calibration(rows, results.styles),
        {"rows": rows},
    )


def _scale(results: SignalResults, rows: list[dict[str, Any]]) -> Diagnostic:
    """Show the cost of an estimated scale."""
    return Diagnostic(
        "scale",
        "What the error of an estimated S0 costs",
        "Error of the signal in units of the true S0. Solid: S0 known; dashed: signals divided by "
        "the mean of their own b <= 50 measurements, which at b = 50 is itself a few percent low; "
        "dotted: by the S0 of a log-linear fit. Black, dash-dotted: the posterior mean for an S0 "
        "of which nothing is known, of noise that is not cut below zero; at the strongest noise "
        "even a bad guess of S0 is better than none.",
        draw_scale(rows, results.styles),
        {"rows": rows},
    )


def _reconstructions(results: SignalResults) -> Diagnostic:
    """Show signals at the strongest noise."""
    few = results.reconstructions
    return Diagnostic(
        "reconstructions",
        "Signals at the paper's strongest noise",
        f"Noise level {few.sigma:g}: the noise is as strong as the unweighted signal. What is "
        "restored lies near the mean of all signals that the measurement allows, and is smoother "
        "than the truth. Below: the error of each network, in the colour of its line.",
        draw_reconstructions(few.clean, few.noisy, few.restored, results.styles),
    )


def _latents(results: SignalResults, rows: list[dict[str, Any]]) -> Iterator[Diagnostic]:
    """Show the latents of the autoencoders."""
    found = results.latents
    yield Diagnostic(
        "latents",
        "Distributions of the latents",
        "Latents of noisy signals at the paper's levels, those that contribute most first. Line: "
        "the prior of variational ones; nats: mean divergence from it; sd: root mean square of the "
        "deviation that the encoder gives. Grey: carries less than 0.01 nats.",
        draw_latent_distributions(found),
        {"rows": rows, "active": {item.name: int(item.active.sum()) for item in found}},
    )
    yield Diagnostic(
        "latent_contributions",
        "What each latent adds to the reconstruction",
        "Above: by how much the error grows if one latent is set to its mean over all signals, "
        "in units of the error; below: its divergence from the prior.",
        draw_latent_contributions(found),
        {"error": {item.name: item.error for item in found}},
    )
    first = found[0]
    yield Diagnostic(
        "latent_changes",
        "What each latent decodes to",
        f"{first.name}, one latent moved at a time, the others at their mean. A contrast between "
        "measurements along z and across is a direction; a row of one colour is the amount of "
        "diffusion.",
        draw_latent_changes(first, results.b_rows),
    )


def _finite(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows with None in place of numbers that JSON cannot hold."""
    return [
        {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
        for row in rows
    ]
