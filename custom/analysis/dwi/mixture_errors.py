"""Errors over a mixture of noise levels, and the rows of the paper's two tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from custom.analysis.dwi.estimators import Estimates
from custom.analysis.dwi.samples import MM2_PER_S, columns_of, mean_of, ratio_of, squared_error
from custom.physics.diffusion.priors import Draw
from custom.physics.diffusion.tensor_fit import fit_log_linear

__all__ = ["CITED", "Errors", "errors_of", "extended_row", "joined", "mixture_row", "times_limit"]

Errors = dict[str, Tensor]
"""Errors of each signal, ``(n,)``, by the column of their mean; without those of signals where an
estimator gives tensors only. Signals are in units of ``S_0`` squared, tensors in mm²/s, squared or
not. ``tensor_mse`` and ``tensor_mae`` are of refits by WLS where signals are given; of the same by
OLS with the floor 1e-4 are ``tensor_mse_ols`` and ``tensor_mae_ols``."""

_BLANK: dict[str, Any] = dict.fromkeys(
    (
        *("estimator", "signals", "signal_mse", "signal_mse_se"),
        *("signal_times_limit", "signal_times_limit_se"),
        *("tensor_mse", "tensor_mse_se", "tensor_mae"),
        *("tensor_times_limit", "tensor_times_limit_se", "tensor_factor"),
        *("tensor_mse_ols", "tensor_mae_ols", "source"),
    )
)
_CITED_COLUMNS = ("estimator", "signal_mse", "tensor_mse", "tensor_mae", "tensor_factor")
# The paper's two rows of noisy data differ, so each factor refers to its own row.
CITED: tuple[dict[str, Any], ...] = tuple(
    {**_BLANK, "source": "as printed", **dict(zip(_CITED_COLUMNS, row, strict=True))}
    for row in (
        ("study: noisy (VAE)", None, 2.48e-6, 9.56e-4, None),
        ("study: VAE", 0.01262, 2.85e-7, 4.12e-4, 2.48e-6 / 2.85e-7),
        ("study: noisy (DAE)", None, 1.74e-6, 8.40e-4, None),
        ("study: DAE", None, 4.03e-7, 5.34e-4, 1.74e-6 / 4.03e-7),
    )
)


def errors_of(found: Estimates, truth: Draw, b_rows: Tensor) -> Errors:
    """Return the errors of estimates.

    Args:
        found: The estimates.
        truth: The true signals and tensors.
        b_rows: ``(M, 6)``.
    """
    errors: Errors = {}
    if found.signal is not None:
        errors["signal_mse"] = squared_error(found.signal, truth.signal)
    tensors = {"": found.tensors(b_rows)}
    if found.signal is not None and found.tensor is None:
        signal = found.signal.double()
        tensors["_ols"] = fit_log_linear(signal, b_rows.double(), floor=1e-4, weighted=False)[0]
    if truth.tensor is None:
        raise ValueError("a mixture is of tensors")
    for fit, tensor in tensors.items():
        difference = (tensor.double() - truth.tensor.double()) * MM2_PER_S
        errors[f"tensor_mse{fit}"] = difference.square().mean(1)
        errors[f"tensor_mae{fit}"] = difference.abs().mean(1)
    return errors


def joined(parts: Sequence[Errors]) -> Errors:
    """Concatenate the errors of several levels."""
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def mixture_row(name: str, errors: Errors, unrestored: float) -> dict[str, Any]:
    """Return mean errors; ``unrestored`` is the mean error of the noisy signals' tensors."""
    measured = columns_of({column: mean_of(values) for column, values in errors.items()})
    row = _BLANK | {"estimator": name, "signals": len(errors["tensor_mse"]), "source": "measured"}
    row |= {column: value for column, value in measured.items() if column in _BLANK}
    row["tensor_factor"] = unrestored / row["tensor_mse"] if row["tensor_mse"] > 0 else None
    return row


def times_limit(errors: Errors, limit: Errors, index: Tensor | None = None) -> dict[str, float]:
    """Return errors over those of the limit, on the limit's signals: ``index`` among all."""
    chosen: Any = slice(None) if index is None else index
    return columns_of(
        {
            f"{quantity}_times_limit": ratio_of(errors[column][chosen], limit[column])
            for quantity in ("signal", "tensor")
            if (column := f"{quantity}_mse") in errors
        }
    )


def extended_row(
    row: dict[str, Any], errors: Errors, complete: Sequence[Errors], index: Tensor, noisy: Errors
) -> dict[str, Any]:
    """Extend means over some of the signals to all, by an estimator that was measured on all.

    A signal that is hard for one is hard for the other: the mean over all is that of the other
    times the ratio of both on the signals that they share (the ratio estimator of surveys). The
    other is the one with the least error.

    Args:
        row: A row from :func:`mixture_row`, over some of the signals.
        errors: Errors of the row.
        complete: Errors of estimators measured on all signals; with none only the factor of the row
            changes.
        index: Numbers of the signals of ``errors`` among all.
        noisy: Errors of all noisy signals, for the factor.
    """
    extended = dict(row)
    for column, values in errors.items():
        others = [other[column] for other in complete if column in other]
        if not others:
            continue
        other = min(others, key=lambda candidate: float(candidate.mean()))
        ratio, mean = ratio_of(values, other[index]), mean_of(other)
        extended[column] = ratio.value * mean.value
        if f"{column}_se" in extended:
            error = math.hypot(ratio.error * mean.value, ratio.value * mean.error)
            extended[f"{column}_se"] = error
    extended["tensor_factor"] = float(noisy["tensor_mse"].mean()) / extended["tensor_mse"]
    return extended
