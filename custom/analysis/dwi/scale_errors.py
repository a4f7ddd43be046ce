"""Errors of restored diffusion signals with a known and with an estimated scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from custom.analysis.dwi.estimators import network_estimator
from custom.analysis.dwi.paired_errors import mean_of
from custom.analysis.dwi.samples import SignalSamples, squared_error
from custom.networks.blocks.protocol_buffers import SCALE_RULE
from custom.physics.diffusion.gradient_table import GradientTable
from custom.physics.diffusion.scale import SCALE_RULES

__all__ = ["LIMIT_KNOWN", "LIMIT_UNKNOWN", "SCALE_COLUMNS", "errors_by_scale"]

SCALE_COLUMNS = (
    "sigma",
    "estimator",
    "scale",
    "signal_mse",
    "signal_mse_se",
    "signal_times_limit",
    "signal_times_limit_se",
)
LIMIT_KNOWN, LIMIT_UNKNOWN = "limit (S0 known)", "limit (S0 unknown)"
_ESTIMATES = {"known": None, "mean b0": "b0", "fitted": "fit"}


def errors_by_scale(
    networks: Mapping[str, nn.Module],
    table: GradientTable,
    samples: SignalSamples,
    sigmas: Sequence[float],
    unknown: SignalSamples | None = None,
) -> list[dict[str, Any]]:
    """Measure networks whose signals are in units of the true or of an estimated ``S_0``.

    Args:
        networks: Name to network. One that was trained with ``S_0`` known gets signals in units of
            the true one, of the mean of their b <= 50 measurements, and of a log-linear fit; one
            that was trained for the second gets that only.
        table: The protocol.
        samples: The signals, in units of their true ``S_0``.
        sigmas: Noise levels above 0.
        unknown: The same with the posterior mean for an unknown ``S_0``, under a flat prior, of
            noise that is not cut at 0, which carries more information where noise is strong.

    Returns:
        Rows of :data:`SCALE_COLUMNS`: errors in units of the true ``S_0`` squared, and over those
        of the posterior mean for a known ``S_0``.
    """
    rows = []
    for sigma in sigmas:
        level = samples.level(sigma)
        for name, network in networks.items():
            rule = SCALE_RULES[int(dict(network.named_buffers())[SCALE_RULE])]
            ways: dict[str, Any] = {"mean b0": "b0"} if rule == "b0" else dict(_ESTIMATES)
            for way, scale in ways.items():
                found = network_estimator(network, table, scale)(level.noisy, level.levels)
                if found.signal is None:  # a tensor head
                    continue
                error = mean_of(squared_error(found.signal, level.truth.signal))
                ratio = level.times_limit(found.signal)
                rows.append(_row(sigma, name, way, error, ratio))
        best = level.limit_errors()
        rows.append(_row(sigma, LIMIT_KNOWN, "known", mean_of(best), (1.0, 0.0)))
        if unknown is not None:
            errors = mean_of(unknown.level(sigma).limit_errors())
            base = float(best.mean())
            times = (errors.value / base, errors.error / base)
            rows.append(_row(sigma, LIMIT_UNKNOWN, "unknown", errors, times))
    return rows


def _row(
    sigma: float, name: str, scale: str, error: tuple[float, float], ratio: tuple[float, float]
) -> dict[str, Any]:
    """Return a row."""
    return dict(zip(SCALE_COLUMNS, (sigma, name, scale, *error, *ratio), strict=True))
