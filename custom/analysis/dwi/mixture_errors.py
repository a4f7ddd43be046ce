"""Errors over a mixture of noise levels, and the rows of the paper's two tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from custom.analysis.dwi.estimators import Estimates, refit
from custom.analysis.dwi.paired_errors import mean_of, ratio_of
from custom.analysis.dwi.samples import squared_error
from custom.physics.diffusion.priors import Draw
from custom.physics.diffusion.tensor_fit import fit_log_linear

__all__ = [
    "CITED",
    "MIXTURE_COLUMNS",
    "MixtureErrors",
    "errors_of",
    "extended_row",
    "joined",
    "mixture_row",
    "times_limit",
]

_MM2_PER_S = 1e-3  # one µm²/ms
MIXTURE_COLUMNS = (
    "estimator",
    "signals",
    "signal_mse",
    "signal_mse_se",
    "signal_times_limit",
    "signal_times_limit_se",
    "tensor_mse",
    "tensor_mse_se",
    "tensor_mae",
    "tensor_times_limit",
    "tensor_times_limit_se",
    "tensor_factor",
    "tensor_mse_ols",
    "tensor_mae_ols",
    "source",
)
_COLUMNS = {
    "signal_mse": "signal",
    "tensor_mse": "tensor",
    "tensor_mae": "tensor_absolute",
    "tensor_mse_ols": "ols",
    "tensor_mae_ols": "ols_absolute",
}
_BLANK = dict.fromkeys(MIXTURE_COLUMNS)
# The paper's two rows of noisy data differ, so each factor refers to its own row.
CITED: tuple[dict[str, Any], ...] = tuple(
    {**_BLANK, "source": "as printed", **row}
    for row in (
        {"estimator": "study: noisy (VAE)", "tensor_mse": 2.48e-6, "tensor_mae": 9.56e-4},
        {
            "estimator": "study: VAE",
            "signal_mse": 0.01262,
            "tensor_mse": 2.85e-7,
            "tensor_mae": 4.12e-4,
            "tensor_factor": 2.48e-6 / 2.85e-7,
        },
        {"estimator": "study: noisy (DAE)", "tensor_mse": 1.74e-6, "tensor_mae": 8.40e-4},
        {
            "estimator": "study: DAE",
            "tensor_mse": 4.03e-7,
            "tensor_mae": 5.34e-4,
            "tensor_factor": 1.74e-6 / 4.03e-7,
        },
    )
)


@dataclass(frozen=True)
class MixtureErrors:
    """Squared errors of each signal, ``(n,)``, None where an estimator gives no signals.

    Attributes:
        signal: Error of the signal in units of ``S_0`` squared.
        tensor: Error of the tensor in (mm²/s)², refitted by WLS where signals are given.
        tensor_absolute: The same in mm²/s.
        ols: As ``tensor``, refitted by OLS with the floor 1e-4; None where tensors are given.
        ols_absolute: The same in mm²/s.
    """

    signal: Tensor | None
    tensor: Tensor
    tensor_absolute: Tensor
    ols: Tensor | None
    ols_absolute: Tensor | None


def errors_of(found: Estimates, truth: Draw, b_rows: Tensor) -> MixtureErrors:
    """Return the errors of estimates.

    Args:
        found: The estimates.
        truth: The true signals and tensors.
        b_rows: ``(M, 6)``.
    """
    if truth.tensor is None:
        raise ValueError("a mixture is of tensors")
    signal = None if found.signal is None else squared_error(found.signal, truth.signal)
    ols = ols_absolute = None
    if found.tensor is not None:
        tensor = found.tensor
    elif found.signal is not None:
        tensor = refit(found.signal, b_rows)
        plain = fit_log_linear(found.signal.double(), b_rows.double(), floor=1e-4, weighted=False)[
            0
        ]
        ols, ols_absolute = _tensor_errors(plain, truth.tensor)
    else:
        raise ValueError("an estimator must give signals or tensors")
    return MixtureErrors(signal, *_tensor_errors(tensor, truth.tensor), ols, ols_absolute)


def _tensor_errors(tensor: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Return squared and absolute errors of each tensor, in units of mm²/s."""
    difference = (tensor.double() - truth.double()) * _MM2_PER_S
    return difference.square().mean(1), difference.abs().mean(1)


def joined(parts: Sequence[MixtureErrors]) -> MixtureErrors:
    """Concatenate the errors of several levels."""

    def column(name: str) -> Tensor | None:
        values = [getattr(part, name) for part in parts]
        return None if any(value is None for value in values) else torch.cat(values)

    tensor, absolute = column("tensor"), column("tensor_absolute")
    if tensor is None or absolute is None:
        raise ValueError("errors of tensors must be there")
    return MixtureErrors(column("signal"), tensor, absolute, column("ols"), column("ols_absolute"))


def mixture_row(name: str, errors: MixtureErrors, unrestored: float) -> dict[str, Any]:
    """Return mean errors; ``unrestored`` is the mean error of the noisy signals' tensors."""
    tensor = mean_of(errors.tensor)
    row: dict[str, Any] = {**_BLANK, "estimator": name, "signals": len(errors.tensor)}
    row |= {"tensor_mse": tensor.value, "tensor_mse_se": tensor.error, "source": "measured"}
    row |= {"tensor_mae": float(errors.tensor_absolute.mean())}
    row |= {"tensor_factor": unrestored / tensor.value if tensor.value > 0 else None}
    if errors.signal is not None:
        row["signal_mse"], row["signal_mse_se"] = mean_of(errors.signal)
    if errors.ols is not None and errors.ols_absolute is not None:
        row["tensor_mse_ols"] = float(errors.ols.mean())
        row["tensor_mae_ols"] = float(errors.ols_absolute.mean())
    return row


def times_limit(
    errors: MixtureErrors, limit: MixtureErrors, index: Tensor | None = None
) -> dict[str, float]:
    """Return errors over those of the limit, on the limit's signals."""
    chosen: Any = slice(None) if index is None else index
    row: dict[str, float] = {}
    pairs = {"signal": (errors.signal, limit.signal), "tensor": (errors.tensor, limit.tensor)}
    for name, (values, least) in pairs.items():
        if values is not None and least is not None:
            found = ratio_of(values[chosen], least)
            row |= {f"{name}_times_limit": found.value, f"{name}_times_limit_se": found.error}
    return row


def extended_row(
    row: Mapping[str, Any],
    errors: MixtureErrors,
    complete: Sequence[MixtureErrors],
    index: Tensor,
    noisy: MixtureErrors,
) -> dict[str, Any]:
    """Extend means over some of the signals to all, by an estimator that was measured on all.

    A signal that is hard for one is hard for the other: the mean over all is that of the other
    times the ratio of both on the signals that they share (the ratio estimator of surveys). The
    other is the one with the least error.

    Args:
        row: A row from :func:`mixture_row`, over some of the signals.
        errors: Errors of the row.
        complete: Rows of estimators measured on all signals; with none only the factor of the row
            changes.
        index: Numbers of the signals of ``errors`` among all.
        noisy: Errors of all noisy signals, for the factor.
    """
    extended = dict(row)
    for column, kind in _COLUMNS.items():
        values = getattr(errors, kind)
        others = [getattr(other, kind) for other in complete]
        others = [other for other in others if other is not None]
        if values is None or not others:
            continue
        other = min(others, key=lambda candidate: float(candidate.mean()))
        ratio, mean = ratio_of(values, other[index]), mean_of(other)
        extended[column] = ratio.value * mean.value
        if f"{column}_se" in extended:
            extended[f"{column}_se"] = math.hypot(
                ratio.error * mean.value, ratio.value * mean.error
            )
    extended["tensor_factor"] = float(noisy.tensor.mean()) / extended["tensor_mse"]
    return extended
