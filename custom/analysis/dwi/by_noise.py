"""Errors of estimators of diffusion signals by noise level, beside the Bayes limit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor

from custom.analysis.dwi.estimators import Estimates, SignalEstimator, refit
from custom.analysis.dwi.paired_errors import Measured, mean_of
from custom.analysis.dwi.samples import NoisyLevel, SignalSamples, squared_error
from custom.physics.diffusion.tensor import fractional_anisotropy, mean_diffusivity

__all__ = ["BY_NOISE_COLUMNS", "LIMIT", "LIMIT_REFITTED", "errors_by_noise"]

LIMIT, LIMIT_REFITTED = "limit", "limit (refitted)"
_TENSOR_COLUMNS = (
    "tensor_mse",
    "tensor_mse_se",
    "tensor_times_limit",
    "tensor_times_limit_se",
    "tensor_excess",
    "tensor_excess_se",
    "fa_mae",
    "md_mae",
)
BY_NOISE_COLUMNS = (
    "sigma",
    "estimator",
    "signals",
    "signal_mse",
    "signal_mse_se",
    "signal_times_limit",
    "signal_times_limit_se",
    "signal_excess",
    "signal_excess_se",
    *_TENSOR_COLUMNS,
)
_MM2_PER_S = 1e-3  # one µm²/ms


def errors_by_noise(
    estimators: Sequence[SignalEstimator], samples: SignalSamples, sigmas: Sequence[float]
) -> list[dict[str, Any]]:
    """Measure estimators at some noise levels.

    Args:
        estimators: The estimators to measure.
        samples: The signals, the same for all estimators and levels.
        sigmas: Noise levels above 0, in units of ``S_0``.

    Returns:
        Rows of :data:`BY_NOISE_COLUMNS`. Errors of signals are in units of ``S_0`` squared, those
        of the tensor's elements and of its mean diffusivity in mm²/s, squared or not. ``times``
        are ratios of errors of the same signals, ``excess`` is the squared distance from the
        posterior mean over the latter's error; ``se`` are standard errors. ``limit`` is the
        posterior mean; refitted, its tensor is fitted to its signals, as a network's is. Missing
        numbers are None.
    """
    rows = []
    for sigma in sigmas:
        level = samples.level(sigma)
        for estimator in estimators:
            part = level.first(estimator.most_signals)
            found = estimator.estimate(part.noisy, part.levels)
            rows.append(_row(estimator.name, part, found, samples.b_rows))
        rows += _limit_rows(level, samples.b_rows)
    return rows


def _row(name: str, level: NoisyLevel, found: Estimates, b_rows: Tensor) -> dict[str, Any]:
    """Return the errors of one estimator at one level."""
    row: dict[str, Any] = {**_empty(name, level)}
    if found.signal is not None:
        errors = squared_error(found.signal, level.truth.signal)
        row |= _pair("signal_mse", mean_of(errors))
        row |= _pair("signal_times_limit", level.times_limit(found.signal))
        row |= _pair("signal_excess", level.excess(found.signal))
    if level.truth.tensor is not None:
        tensor = _tensor_of(found, b_rows)
        row |= _tensor_errors(tensor, level.truth.tensor)
        row |= _pair("tensor_times_limit", level.times_limit(tensor, True))
        row |= _pair("tensor_excess", level.excess(tensor, True))
    return row


def _limit_rows(level: NoisyLevel, b_rows: Tensor) -> Iterator[dict[str, Any]]:
    """Return the posterior mean's errors: of its tensor, and of the one fitted to its signals."""
    whole, none = level.posterior.whole, Measured(0.0, 0.0)
    for name in (LIMIT, LIMIT_REFITTED):
        row = _empty(name, level) | _pair("signal_mse", mean_of(level.limit_errors()))
        row |= _pair("signal_times_limit", Measured(1.0, 0.0)) | _pair("signal_excess", none)
        if level.truth.tensor is not None and whole.tensor is not None:
            if name == LIMIT:
                row |= _tensor_errors(whole.tensor, level.truth.tensor)
                errors = mean_of(level.limit_errors(True))
                row |= _pair("tensor_mse", Measured(*(v * _MM2_PER_S**2 for v in errors)))
                row |= _pair("tensor_times_limit", Measured(1.0, 0.0))
                row |= _pair("tensor_excess", none)
            else:
                tensor = refit(whole.signal, b_rows)
                row |= _tensor_errors(tensor, level.truth.tensor)
                row |= _pair("tensor_times_limit", level.times_limit(tensor, True))
                row |= _pair("tensor_excess", level.excess(tensor, True))
            yield row
        elif name == LIMIT:
            yield row


def _tensor_of(found: Estimates, b_rows: Tensor) -> Tensor:
    """Return tensors, refitted if an estimator gives signals only."""
    if found.tensor is not None:
        return found.tensor
    if found.signal is None:
        raise ValueError("an estimator must give signals or tensors")
    return refit(found.signal, b_rows)


def _tensor_errors(tensor: Tensor, truth: Tensor) -> dict[str, Any]:
    """Return errors of tensors, mean diffusivity and anisotropy, in units of mm²/s."""
    tensor, truth = tensor.double(), truth.double()
    squared = Measured(*(v * _MM2_PER_S**2 for v in mean_of(squared_error(tensor, truth))))
    anisotropy = fractional_anisotropy(tensor) - fractional_anisotropy(truth)
    diffusivity = mean_diffusivity(tensor) - mean_diffusivity(truth)
    return {
        **_pair("tensor_mse", squared),
        "fa_mae": float(anisotropy.abs().mean()),
        "md_mae": float(diffusivity.abs().mean()) * _MM2_PER_S,
    }


def _empty(name: str, level: NoisyLevel) -> dict[str, Any]:
    """Return a row without numbers yet."""
    row: dict[str, Any] = dict.fromkeys(BY_NOISE_COLUMNS)
    return row | {"sigma": level.sigma, "estimator": name, "signals": len(level.noisy)}


def _pair(name: str, measured: Measured) -> dict[str, float]:
    """Return a number and its standard error as columns."""
    return {name: measured.value, f"{name}_se": measured.error}
