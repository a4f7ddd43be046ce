"""Expected errors of an estimated diffusion signal, from the noise and the prior."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from custom.physics.diffusion.tensor import tensor_signal
from custom.physics.diffusion.tensor_fit import fit_log_linear

__all__ = ["ErrorScales", "error_scales_of", "expected_squared_error"]

_RIDGE = 1e-6  # keeps matrices invertible where a protocol does not determine every element


@dataclass(frozen=True)
class ErrorScales:
    r"""Scales of the squared error of an estimate at weak and at strong noise.

    At weak noise it is close to :math:`c\,\sigma^2`, the Cramer-Rao bound of an unbiased estimator,
    at strong noise to the prior's variance :math:`V`: see :func:`expected_squared_error`.

    Attributes:
        signal_bound: ``c`` of a signal, mean over measurements, ``()``; ``p / M`` for ``p``
            parameters.
        signal_variance: ``V`` of a signal, mean over measurements, ``()``.
        tensor_bound: ``c`` of the tensor's elements, median over the prior, ``(6,)``, in (µm²/ms)².
        tensor_variance: ``V`` of the tensor's elements, ``(6,)``.
        signal_misfit: Mean squared residual of the best tensor fit to a clean signal, ``()``; 0 if
            the signals are those of tensors.
        mean: Mean parameters: ``(6,)`` of the tensor, or ``(7,)`` with the scale.
        precision: Inverse covariance of the same, ``(P, P)``.
    """

    signal_bound: Tensor
    signal_variance: Tensor
    tensor_bound: Tensor
    tensor_variance: Tensor
    signal_misfit: Tensor
    mean: Tensor
    precision: Tensor


def expected_squared_error(sigma: Tensor, bound: Tensor, variance: Tensor) -> Tensor:
    r"""Return :math:`(1 / c \sigma^2 + 1 / V)^{-1}`, close to the error of the best estimator.

    Within a fifth of the posterior's at every noise level of the paper
    (docs/methods/dwi_vae.md, "Limit").

    Args:
        sigma: Noise, in units of ``S_0``; below 0.01 it counts as 0.01.
        bound: ``c``.
        variance: ``V``.

    Shape:
        ``sigma``: ``(B, 1)``; ``bound``, ``variance``: ``()`` or ``(K,)``; output: ``(B, 1)`` or
        ``(B, K)``.
    """
    # At no noise the error would be 0, and 1 / error infinite.
    unbiased = bound * sigma.clamp_min(0.01).square()
    return 1 / (1 / unbiased + 1 / variance)


def error_scales_of(
    signal: Tensor,
    tensor: Tensor | None,
    b_rows: Tensor,
    num_parameters: int,
    scale_variance: float | None = None,
) -> ErrorScales:
    """Compute scales of errors from draws of a prior.

    Args:
        signal: Clean signals in units of ``S_0``.
        tensor: Their tensors. Signals of mixtures have none: the moments are then those of the
            best-fitting tensors.
        b_rows: b-matrix rows, from :func:`custom.physics.diffusion.tensor.b_matrix`.
        num_parameters: Number of parameters of the signal model, without its scale.
        scale_variance: Variance of the true scale in units of the estimated one; None where it is
            known.

    Shape:
        ``signal``: ``(n, M)``; ``tensor``: ``(n, 6)`` in µm²/ms; ``b_rows``: ``(M, 6)``.
    """
    # Double: in single precision the ridge would be lost in the rounding of the normal matrix.
    signal, b_rows = signal.double(), b_rows.double()
    values = fit_log_linear(signal, b_rows)[0] if tensor is None else tensor.double()
    misfit = (signal - tensor_signal(values, b_rows)).square().mean()
    jacobian = -signal.unsqueeze(2) * b_rows
    eye = torch.eye(6, dtype=torch.float64)
    normal = jacobian.transpose(1, 2) @ jacobian + _RIDGE * eye
    mean, covariance = values.mean(0), values.T.cov() + _RIDGE * eye
    if scale_variance is not None:
        mean = torch.cat([mean, mean.new_ones(1)])
        covariance = torch.nn.functional.pad(covariance, (0, 1, 0, 1))
        covariance[-1, -1] = scale_variance
    free = num_parameters + (scale_variance is not None)
    return ErrorScales(
        signal_bound=torch.tensor(free / len(b_rows)),
        signal_variance=signal.var(0).mean().float(),
        # Median: it grows as 1 / S², so the mean would be that of the few weakest signals.
        tensor_bound=torch.linalg.inv(normal).diagonal(dim1=1, dim2=2).median(0).values.float(),
        tensor_variance=values.var(0).float(),
        signal_misfit=misfit.float() if tensor is None else torch.tensor(0.0),
        mean=mean.float(),
        precision=torch.linalg.inv(covariance).float(),
    )
