"""Estimate S0, the unweighted signal by which a voxel's diffusion signals are divided."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from custom.physics.diffusion.tensor_fit import fit_log_linear

__all__ = ["SCALE_RULES", "ScaleEstimate", "ScaleRule", "estimate_scale"]

ScaleRule = Literal["known", "b0"]
ScaleEstimate = Literal["b0", "fit"]
# Unit of a network's signals, by the number in its state dict: the true S_0, or the mean of their
# own unweighted measurements.
SCALE_RULES: tuple[ScaleRule, ...] = ("known", "b0")


def estimate_scale(
    signals: Tensor, b_rows: Tensor, unweighted: Tensor, estimate: ScaleEstimate
) -> Tensor:
    r"""Return an estimate of each signal's :math:`S_0`, in the unit of the signals.

    ``b0`` is the mean of the unweighted measurements, which at b = 50 s/mm² lies a few percent
    below :math:`S_0`; ``fit`` is that of a weighted log-linear fit to all measurements, which does
    not.

    Args:
        signals: Measured signals.
        b_rows: b-matrix rows, from :func:`custom.physics.diffusion.tensor.b_matrix`.
        unweighted: Which measurements count as b = 0.
        estimate: ``b0`` or ``fit``.

    Shape:
        ``signals``: ``(B, M)``; ``b_rows``: ``(M, 6)``; ``unweighted``: ``(M,)`` bool; output:
        ``(B,)``.

    Raises:
        ValueError: If no measurement is unweighted, or ``estimate`` is unknown.
    """
    if not bool(unweighted.any()):
        raise ValueError("unweighted must mark at least one measurement, got none")
    mean = signals[:, unweighted].mean(1)
    if estimate == "b0":
        return mean
    if estimate != "fit":
        raise ValueError(f"estimate must be 'b0' or 'fit', got {estimate!r}")
    # The floor of the logarithm is meant for signals of the order of one.
    unit = mean.clamp_min(torch.finfo(signals.dtype).tiny).unsqueeze(1)
    fitted = fit_log_linear(signals / unit, b_rows, scale_known=False)[1]
    return fitted * unit.squeeze(1)
