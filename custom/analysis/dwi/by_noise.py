"""Errors of estimators of diffusion signals by noise level, beside the Bayes limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from custom.analysis.dwi.estimators import Estimates, SignalEstimator, network_estimator
from custom.analysis.dwi.samples import (
    MM2_PER_S,
    Measured,
    NoisyLevel,
    SignalSamples,
    columns_of,
    mean_of,
)
from custom.networks.stored_protocol import SCALE_RULE
from custom.physics.diffusion.gradient_table import GradientTable
from custom.physics.diffusion.noise_estimate import SCALE_RULES, ScaleEstimate
from custom.physics.diffusion.tensor import fractional_anisotropy, mean_diffusivity

__all__ = [
    "LIMIT",
    "LIMIT_KNOWN",
    "LIMIT_REFITTED",
    "LIMIT_UNKNOWN",
    "errors_by_noise",
    "errors_by_scale",
]

LIMIT, LIMIT_REFITTED = "limit", "limit (refitted)"
LIMIT_KNOWN, LIMIT_UNKNOWN = "limit (S0 known)", "limit (S0 unknown)"
_MEASURES = [f"{name}{se}" for name in ("mse", "times_limit", "excess") for se in ("", "_se")]
_COLUMNS = (
    *("sigma", "estimator", "signals"),
    *(f"{quantity}_{name}" for quantity in ("signal", "tensor") for name in _MEASURES),
    *("fa_mae", "md_mae"),
)
_ESTIMATES: dict[str, ScaleEstimate | None] = {"known": None, "mean b0": "b0", "fitted": "fit"}


def errors_by_noise(
    estimators: Sequence[SignalEstimator], samples: SignalSamples, sigmas: Sequence[float]
) -> list[dict[str, Any]]:
    """Measure estimators at some noise levels.

    Args:
        estimators: The estimators to measure.
        samples: The signals, the same for all estimators and levels.
        sigmas: Noise levels above 0, in units of ``S_0``.

    Returns:
        Rows with ``sigma``, ``estimator``, the number of ``signals``, the measures of
        :meth:`custom.analysis.dwi.samples.NoisyLevel.compared` as ``signal_...`` and ``tensor_...``
        with their standard errors ``..._se``, and the mean absolute errors ``fa_mae`` and
        ``md_mae``. Errors of signals are in units of ``S_0`` squared, those of the tensor's
        elements and of its mean diffusivity in mm²/s, squared or not. ``limit`` is the posterior
        mean; refitted, its tensor is fitted to its signals, as a network's is. Missing numbers are
        None.
    """
    rows = []
    for level in map(samples.level, sigmas):
        for estimator in estimators:
            part = level.first(estimator.most_signals)
            found = estimator.estimate(part.noisy, part.levels)
            rows.append(_row(estimator.name, part, found, samples.b_rows))
        whole = level.posterior.whole
        limits = {LIMIT: Estimates(whole.signal, whole.tensor)}
        if level.truth.tensor is not None:
            limits[LIMIT_REFITTED] = Estimates(whole.signal)
        rows += [_row(name, level, found, samples.b_rows) for name, found in limits.items()]
    return rows


def _row(name: str, level: NoisyLevel, found: Estimates, b_rows: Tensor) -> dict[str, Any]:
    """Return the errors of one estimator at one level."""
    row: dict[str, Any] = dict.fromkeys(_COLUMNS)
    row |= {"sigma": level.sigma, "estimator": name, "signals": len(level.noisy)}
    measured: dict[str, Measured] = {}
    if found.signal is not None:
        measured |= {f"signal_{k}": value for k, value in level.compared(found.signal).items()}
    if level.truth.tensor is not None:
        tensor, truth = found.tensors(b_rows), level.truth.tensor.double()
        measured |= {f"tensor_{k}": v for k, v in level.compared(tensor, "tensor").items()}
        anisotropy = fractional_anisotropy(tensor.double()) - fractional_anisotropy(truth)
        diffusivity = mean_diffusivity(tensor.double()) - mean_diffusivity(truth)
        row["fa_mae"] = float(anisotropy.abs().mean())
        row["md_mae"] = float(diffusivity.abs().mean()) * MM2_PER_S
    return row | columns_of(measured)


def errors_by_scale(
    networks: Mapping[str, nn.Module],
    table: GradientTable,
    samples: SignalSamples,
    sigmas: Sequence[float],
    unknown: SignalSamples | None = None,
) -> list[dict[str, Any]]:
    """Measure networks whose signals are in units of the true or of an estimated ``S_0``.

    Args:
        networks: Name to network; a tensor does not depend on the scale, and has no row. One that
            was trained with ``S_0`` known gets signals in units of the true one, of the mean of
            their b <= 50 measurements, and of a log-linear fit; one that was trained for the second
            gets that only.
        table: The protocol.
        samples: The signals, in units of their true ``S_0``.
        sigmas: Noise levels above 0.
        unknown: The same with the posterior mean for an unknown ``S_0``, under a flat prior, of
            noise that is not cut at 0, which carries more information where noise is strong.

    Returns:
        Rows with ``sigma``, ``estimator``, ``scale``, ``signal_mse``, ``signal_times_limit`` and
        their standard errors: errors in units of the true ``S_0`` squared, and over those of the
        posterior mean for a known ``S_0``.
    """
    rows = []
    for level in map(samples.level, sigmas):
        for name, network in networks.items():
            rule = SCALE_RULES[int(dict(network.named_buffers())[SCALE_RULE])]
            for way, scale in _ESTIMATES.items():
                if rule == "b0" and scale != "b0":
                    continue
                found = network_estimator(network, table, scale)(level.noisy, level.levels)
                if found.signal is not None:
                    rows.append(_scale_row(level, name, way, level.compared(found.signal)))
        limit = level.compared(level.posterior.whole.signal)
        rows.append(_scale_row(level, LIMIT_KNOWN, "known", limit))
        if unknown is not None:
            mse, best = mean_of(unknown.level(level.sigma).limit_errors()), limit["mse"].value
            times = Measured(mse.value / best, mse.error / best)
            measured = {"mse": mse, "times_limit": times}
            rows.append(_scale_row(level, LIMIT_UNKNOWN, "unknown", measured))
    return rows


def _scale_row(
    level: NoisyLevel, name: str, way: str, measured: Mapping[str, Measured]
) -> dict[str, Any]:
    """Return the errors of one estimator with one scale at one level."""
    pairs = {f"signal_{key}": measured[key] for key in ("mse", "times_limit")}
    return {"sigma": level.sigma, "estimator": name, "scale": way, **columns_of(pairs)}
