"""Fit diffusion tensors to many signals at once: log-linear and non-linear least squares.

DIPY fits voxel by voxel and is the reference in our tests; these fit a million signals at once.
"""

from __future__ import annotations

import torch
from torch import Tensor

from custom.physics.diffusion.tensor import tensor_signal

__all__ = ["clip_to_box", "fit_log_linear", "fit_non_linear", "regularised_gauss_newton"]


def fit_log_linear(
    signals: Tensor,
    b_rows: Tensor,
    *,
    floor: float = 0.01,
    weighted: bool = True,
    scale_known: bool = True,
) -> tuple[Tensor, Tensor]:
    r"""Fit :math:`\log S = \log S_0 - b\,g^T D\,g` by ordinary, then by weighted least squares.

    The weights are the squares of the first fit's signals, since the noise of a logarithm is
    :math:`\sigma / S`. Signals below ``floor`` count as ``floor``.

    Args:
        signals: Signals in units of a known ``S_0`` if ``scale_known``.
        b_rows: b-matrix rows, from :func:`custom.physics.diffusion.tensor.b_matrix`.
        floor: Smallest value whose logarithm is taken, above 0, in the unit of ``signals``.
        weighted: Whether the second, weighted fit is made.
        scale_known: Whether ``S_0`` is 1; otherwise it is fitted too.

    Shape:
        ``signals``: ``(B, M)``; tensors: ``(B, 6)`` in µm²/ms; ``S_0``: ``(B,)``.

    Raises:
        ValueError: If ``floor`` is not positive.

    Source:
        docs/methods/dwi_vae.md, "Evaluation"; R. Salvador et al., Human Brain Mapping 24 (2005),
        144-155.
    """
    if floor <= 0:
        raise ValueError(f"floor must be positive, got {floor}")
    logs = signals.clamp_min(floor).log()
    design = -b_rows if scale_known else torch.cat([-b_rows, torch.ones_like(b_rows[:, :1])], 1)
    # One matrix for all signals; pinv has a solution where a protocol does not determine D, too.
    solution = logs @ torch.linalg.pinv(design).T
    if weighted:
        # Of the fitted, not of the noisy signals, whose errors would bias the weights.
        weights = (2 * (solution @ design.T)).exp()
        solution = _solve(_normal(weights, design), (weights * logs) @ design)
    if scale_known:
        return solution, torch.ones_like(solution[:, 0])
    return solution[:, :6], solution[:, 6].exp()


def fit_non_linear(
    signals: Tensor, b_rows: Tensor, *, scale_known: bool = True, steps: int = 30
) -> tuple[Tensor, Tensor]:
    r"""Fit :math:`S = S_0 \exp(-b\,g^T D\,g)` by the Levenberg-Marquardt method.

    Starts at the weighted log-linear fit; each signal has its own damping, and a step that does not
    lower its error is rejected.

    Args:
        signals: Signals in units of a known ``S_0`` if ``scale_known``.
        b_rows: b-matrix rows, from :func:`custom.physics.diffusion.tensor.b_matrix`.
        scale_known: Whether ``S_0`` is 1; otherwise it is fitted too.
        steps: Steps tried.

    Shape:
        ``signals``: ``(B, M)``; tensors: ``(B, 6)`` in µm²/ms; ``S_0``: ``(B,)``.
    """
    tensors, scale = fit_log_linear(signals, b_rows, scale_known=scale_known)
    state = torch.cat([tensors, scale.unsqueeze(1)], 1)
    size = 6 if scale_known else 7
    damping = torch.full_like(scale, 1e-3)
    error = (signals - _model(state, b_rows)).square().sum(1)
    for _ in range(steps):
        decay = tensor_signal(state[:, :6], b_rows)
        normal, right = _normal_equations(signals, decay, state[:, 6:], b_rows, size == 7)
        # Marquardt's scaling: damping in units of each parameter's own curvature.
        diagonal = torch.diag_embed(normal.diagonal(dim1=1, dim2=2).clamp_min(1e-8))
        step = _solve(normal + damping[:, None, None] * diagonal, right)
        trial = state.clone()
        trial[:, :size] += step
        found = (signals - _model(trial, b_rows)).square().sum(1)
        better = found < error  # False for NaN and overflow, too
        state = torch.where(better.unsqueeze(1), trial, state)
        error = torch.where(better, found, error)
        damping = torch.where(better, damping / 5, damping * 4).clamp(1e-9, 1e9)
    return state[:, :6], state[:, 6]


def regularised_gauss_newton(
    signals: Tensor,
    b_rows: Tensor,
    prior_mean: Tensor,
    prior_precision: Tensor,
    noise_variance: Tensor,
    steps: int,
) -> tuple[Tensor, Tensor]:
    r"""Step towards the most probable parameters under a Gaussian prior and Gaussian noise.

    Minimises :math:`\|S - s \exp(-B d)\|^2 + \sigma^2 (p - p_0)^T P (p - p_0)` with :math:`p = d`,
    or :math:`p = (d, s)` where the prior has seven numbers. Written with plain loops, so that it
    can be exported to TorchScript.

    Args:
        signals: Signals in units of ``S_0``, or of an estimate of it.
        b_rows: b-matrix rows, from :func:`custom.physics.diffusion.tensor.b_matrix`.
        prior_mean: Mean of the prior.
        prior_precision: Inverse covariance of the prior.
        noise_variance: Variance of each signal's noise; where it is 0 or less, it is estimated from
            the residual before every step.
        steps: Number of steps.

    Shape:
        ``signals``: ``(B, M)``; ``b_rows``: ``(M, 6)``; prior: ``(P,)`` and ``(P, P)`` with ``P`` 6
        or 7; ``noise_variance``: ``(B, 1)``; parameters: ``(B, P)``; their signals: ``(B, M)``.
    """
    size = prior_mean.shape[0]
    freedom = float(max(signals.shape[1] - size, 1))
    parameters = _log_linear_start(signals, b_rows, prior_mean, prior_precision, noise_variance)
    scale = torch.ones_like(signals[:, :1]) if size == 6 else parameters[:, 6:]
    # At most e²: a step that overshoots must not make a signal infinite.
    decay = torch.exp(-(parameters[:, :6] @ b_rows.t()).clamp_min(-2.0))
    for _ in range(steps):
        estimate = (signals - scale * decay).square().sum(1, keepdim=True) / freedom
        # Never 0: times the prior's precision it keeps the matrix invertible.
        variance = torch.where(noise_variance > 0, noise_variance, estimate).clamp_min(1e-8)
        normal, right = _normal_equations(signals, decay, scale, b_rows, size == 7)
        normal = normal + variance.unsqueeze(2) * prior_precision
        right = right + variance * ((prior_mean - parameters) @ prior_precision)
        # cholesky_ex: one singular voxel must not raise for a whole batch.
        factor = torch.linalg.cholesky_ex(normal)[0]
        step = torch.cholesky_solve(right.unsqueeze(2), factor).squeeze(2)
        # The first steps can overshoot; diffusivities of water at body temperature lie well inside.
        parameters = (parameters + step).clamp(-4.0, 8.0)
        scale = torch.ones_like(signals[:, :1]) if size == 6 else parameters[:, 6:]
        decay = torch.exp(-(parameters[:, :6] @ b_rows.t()).clamp_min(-2.0))
    return parameters, scale * decay


def _log_linear_start(
    signals: Tensor,
    b_rows: Tensor,
    prior_mean: Tensor,
    prior_precision: Tensor,
    noise_variance: Tensor,
) -> Tensor:
    """Return parameters ``(B, P)`` of a weighted log-linear fit, regularised by the prior.

    Started at the prior's mean, weak noise would need six steps instead of four.
    """
    size = prior_mean.shape[0]
    usable = signals.clamp_min(0.02)  # noise can make a signal 0 or less: it has no logarithm
    weights = usable.square()
    design = b_rows if size == 6 else torch.cat([b_rows, -torch.ones_like(b_rows[:, :1])], dim=1)
    # At least a noise of 1 %: where it is not known, 0, the steps that follow estimate it.
    variance = noise_variance.clamp_min(1e-4)
    # The fit is of the scale's logarithm: log s is about s - 1 near the prior's mean.
    centre = prior_mean if size == 6 else torch.cat([prior_mean[:6], prior_mean[6:] - 1.0])
    normal = _normal(weights, design) + variance.unsqueeze(2) * prior_precision
    right = -(weights * usable.log()) @ design + variance * (centre @ prior_precision)
    factor = torch.linalg.cholesky_ex(normal)[0]
    start = torch.cholesky_solve(right.unsqueeze(2), factor).squeeze(2)
    if size == 7:
        start = torch.cat([start[:, :6], start[:, 6:].clamp(-2.0, 2.0).exp()], dim=1)
    return start.clamp(-4.0, 8.0)


def clip_to_box(tensors: Tensor) -> Tensor:
    """Clip tensors ``(*, 6)`` to the range of the paper's prior, ``0..3`` and ``-1..1`` µm²/ms."""
    return torch.cat([tensors[..., :3].clamp(0.0, 3.0), tensors[..., 3:].clamp(-1.0, 1.0)], dim=-1)


def _model(state: Tensor, b_rows: Tensor) -> Tensor:
    """Return the signals of ``(B, 7)`` parameters: six of the tensor, then the scale."""
    return state[:, 6:] * tensor_signal(state[:, :6], b_rows)


def _normal(weights: Tensor, design: Tensor) -> Tensor:
    """Return ``sum_m w_m x_m x_m^T``, ``(B, P, P)``, as one product of matrices."""
    size = design.shape[1]
    products = (design.unsqueeze(2) * design.unsqueeze(1)).reshape(-1, size * size)
    return (weights @ products).reshape(-1, size, size)


def _normal_equations(
    signals: Tensor, decay: Tensor, scale: Tensor, b_rows: Tensor, with_scale: bool
) -> tuple[Tensor, Tensor]:
    """Return ``J^T J`` and ``J^T r`` of ``scale * decay``, by the tensor and then by the scale."""
    fitted = scale * decay
    residual = signals - fitted
    normal = _normal(fitted.square(), b_rows)
    right = -((fitted * residual) @ b_rows)
    if with_scale:
        cross = -((fitted * decay) @ b_rows).unsqueeze(2)
        corner = decay.square().sum(1, keepdim=True).unsqueeze(2)
        normal = torch.cat(
            [torch.cat([normal, cross], 2), torch.cat([cross.transpose(1, 2), corner], 2)], 1
        )
        right = torch.cat([right, (decay * residual).sum(1, keepdim=True)], 1)
    return normal, right


def _solve(normal: Tensor, right: Tensor) -> Tensor:
    """Solve small symmetric systems; the solution of a singular one is finite, or 0."""
    size = normal.diagonal(dim1=1, dim2=2).mean(1).clamp_min(1e-30)
    # Relative to the matrix, and of the order of single precision's rounding.
    ridge = 1e-7 * torch.diag_embed(size.unsqueeze(1).expand(-1, normal.shape[1]))
    factor, failed = torch.linalg.cholesky_ex(normal + ridge)
    solution = torch.cholesky_solve(right.unsqueeze(2), factor).squeeze(2)
    usable = (failed == 0) & torch.isfinite(solution).all(1)
    return torch.where(usable.unsqueeze(1), solution, torch.zeros_like(solution))
