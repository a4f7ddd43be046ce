"""Tables of Gaussian paths between a clean image and noise, or its degraded pair."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from custom.setting_checks import check_above_zero, check_not_negative, check_share

__all__ = ["SCHEDULES", "PathTables"]


class PathTables(NamedTuple):
    r"""Gains and deviation of :math:`x_t = c_t x_0 + a_t y + s_t e`, each ``(T + 1,)``, float64.

    ``memory`` is what a later image keeps of an earlier one: given :math:`x_u`, the image
    :math:`x_t` is :math:`r x_u` and terms without it, :math:`r = m_t / m_u`.
    """

    clean: Tensor  # c_t
    anchor: Tensor  # a_t
    std: Tensor  # s_t
    memory: Tensor  # m_t


def ddpm_linear(num_steps: int, beta_start: float = 1e-4, beta_end: float = 2e-2) -> PathTables:
    """Return a variance-preserving path whose ``beta_t`` grows linearly (Ho et al. 2020)."""
    check_share("beta_start", beta_start)
    check_share("beta_end", beta_end)
    return _variance_preserving(
        1 - torch.linspace(beta_start, beta_end, num_steps, dtype=torch.float64)
    )


def cosine(num_steps: int, noise_variance: float = 1.0, offset: float = 0.008) -> PathTables:
    """Return the path with the squared cosine on the product of ``alpha`` (Nichol et al. 2021)."""
    position = torch.arange(num_steps + 1, dtype=torch.float64) / num_steps
    product = torch.cos((position + offset) / (1 + offset) * math.pi / 2).square()
    return _variance_preserving((product[1:] / product[:-1]).clamp(min=0.001), noise_variance)


def cosine_product(num_steps: int, noise_variance: float = 0.3) -> PathTables:
    """Return the path whose ``alpha_t`` is a squared cosine, the source's formula.

    Most of it is pure noise: of 1000 steps the product is 1e-3 at t = 202 and 1e-10 at 300.
    """
    position = torch.arange(1, num_steps + 1, dtype=torch.float64) / num_steps
    return _variance_preserving(torch.cos(position * math.pi / 2).square(), noise_variance)


def resshift(num_steps: int, kappa: float = 2.0, power: float = 0.3) -> PathTables:
    r"""Return the path of ResShift: :math:`x_0 + \eta_t (y - x_0) + \kappa \sqrt{\eta_t}\, e`.

    The root of ``eta`` is geometric in ``((t - 1) / (T - 1))^power``, from
    ``min(0.04 / kappa, sqrt(0.001))`` to ``sqrt(0.999)`` (Yue et al. 2023, equation 10).
    """
    check_above_zero("kappa", kappa)
    check_above_zero("power", power)
    low, high = min(0.04 / kappa, math.sqrt(0.001)), math.sqrt(0.999)
    position = torch.linspace(0, 1, num_steps, dtype=torch.float64)
    root = torch.cat([torch.zeros(1), low * (high / low) ** position**power])
    eta = root.square()
    return PathTables(1 - eta, eta, kappa * root, torch.ones_like(eta))


def straight(num_steps: int, noise_std: float = 0.15) -> PathTables:
    r"""Return the straight flow :math:`(1 - p) x_0 + p y + \sigma p\, e`, with ``p = t / T``."""
    check_not_negative("noise_std", noise_std)
    position = torch.arange(num_steps + 1, dtype=torch.float64) / num_steps
    return PathTables(1 - position, position, noise_std * position, 1 - position)


def brownian_bridge(num_steps: int, noise_std: float = 0.15) -> PathTables:
    r"""Return :math:`(1 - p) x_0 + p y + 2 \sigma \sqrt{p (1 - p)}\, e`, without noise at ``y``."""
    check_not_negative("noise_std", noise_std)
    position = torch.arange(num_steps + 1, dtype=torch.float64) / num_steps
    std = 2 * noise_std * (position * (1 - position)).sqrt()
    return PathTables(1 - position, position, std, 1 - position)


def _variance_preserving(alphas: Tensor, noise_variance: float = 1.0) -> PathTables:
    """Return tables from ``alpha_t`` at ``t = 1..T``."""
    check_above_zero("noise_variance", noise_variance)
    # The product of roots, since the root of the product is 0 long before.
    clean = torch.cat([torch.ones(1), alphas.sqrt().cumprod(0)])
    std = (noise_variance * (1 - clean.square())).sqrt()
    return PathTables(clean, torch.zeros_like(clean), std, clean)


SCHEDULES: Mapping[str, Callable[..., PathTables]] = {
    schedule.__name__: schedule
    for schedule in (ddpm_linear, cosine, cosine_product, resshift, straight, brownian_bridge)
}
"""Schedules by name: each makes tables from ``T`` and settings of its own."""
