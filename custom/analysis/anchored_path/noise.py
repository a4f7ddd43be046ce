"""Measure the noise of an anchored path: its variance, its end point, its coherence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from custom.networks.schedulers.anchored_path import AnchoredPathScheduler
from custom.networks.schedulers.residual_noise import ResidualNoise, mean_field

__all__ = [
    "AccumulatedNoise",
    "EndpointErrors",
    "PathVariance",
    "accumulated_noise",
    "endpoint_errors",
    "fixed_pattern",
    "path_variance",
    "preferred_direction",
]

Array = NDArray[Any]


Means = tuple[Array, Array]
"""Means over draws, and their standard errors."""


@dataclass(frozen=True)
class PathVariance:
    """Variance of ``x_t`` about the mean path, in squared standardised units, one a step.

    Args:
        steps: ``t``.
        theory: For independent noise of zero mean and unit variance at every pixel.
        chain: Result for chains simulated link by link.
        one_shot: The same for draws from the marginal.
    """

    steps: Array
    theory: Array
    chain: Means
    one_shot: Means


@dataclass(frozen=True)
class EndpointErrors:
    """Mean squared error of ``x_T`` against the scan, for several end deviations.

    Args:
        end_std: Values of ``beta``.
        mse: ``MSE(x_T, x_T*)``.
        critical_end_std: ``beta_crit``.
        used_end_std: ``beta`` of the scheduler.
        residual_rms: RMS of the training set's residuals.
    """

    end_std: Array
    mse: Means
    critical_end_std: float
    used_end_std: float
    residual_rms: float


@dataclass(frozen=True)
class AccumulatedNoise:
    """Noise summed along whole chains, in units of ``beta``.

    Args:
        rotated: Whether each draw was rotated by a random multiple of 90 degrees.
        centred: Whether the mean of every pixel over the bank was subtracted.
        example: Result of one chain.
        mean: Mean over the chains.
        draws: Number of chains.
        direction: Size of the preferred direction of its edges (:func:`preferred_direction`),
            and its standard error.
        fixed_share: Share of the variance that is common to all chains, from the bank itself.
    """

    rotated: bool
    centred: bool
    example: Array
    mean: Array
    draws: int
    direction: tuple[float, float]
    fixed_share: float


def path_variance(
    scheduler: AnchoredPathScheduler,
    noise: ResidualNoise,
    draws: int,
    generator: Generator,
    points: int = 21,
) -> PathVariance:
    """Simulate chains, draw from the marginal, and compare both with theory.

    Args:
        scheduler: The path.
        noise: The noise.
        draws: Chains, and draws at each step; at least 2.
        generator: Source of the randomness.
        points: Number of steps compared, spread evenly over the path.
    """
    steps = np.unique(np.linspace(0, scheduler.num_steps, points).round().astype(int))
    profile = scheduler.profile.cpu().double()
    side = noise.bank.residuals.shape[-1]
    shape = (draws, 1, side, side)
    sigma = scheduler.sigma
    total, chain = torch.zeros(shape), [np.zeros(draws)]
    for step in range(1, scheduler.num_steps + 1):
        total += float(profile[step]) * noise.draw(shape, "cpu", generator)
        if step in steps:
            chain.append(_squares(sigma * total))
    one_shot = [
        _squares(sigma * _accumulated(scheduler, noise, shape, int(step), generator))
        for step in steps
    ]
    theory = scheduler.noise_std.cpu().double().numpy()[steps] ** 2
    return PathVariance(steps, theory, _means(chain), _means(one_shot))


def endpoint_errors(
    scheduler: AnchoredPathScheduler,
    noise: ResidualNoise,
    pairs: Sequence[tuple[Tensor, Tensor]],
    draws: int,
    generator: Generator,
    end_stds: Sequence[float] | None = None,
) -> EndpointErrors:
    """Draw the end of the path for several ``beta``, and measure its distance from the scan.

    Args:
        scheduler: The path; its own ``beta`` is replaced.
        noise: The noise.
        pairs: Clean and anchor of each slice, standardised, ``(1, 1, X, Y)``.
        draws: Draws of each slice and ``beta``.
        generator: Source of the randomness.
        end_stds: Values of ``beta``; by default from a hundredth to a hundred times the critical.
    """
    rms = float(noise.bank.rms)
    critical = scheduler.critical_end_std(rms)
    # Far to both sides of beta_crit: the error is beta^2 all along (erratum 7).
    values = np.geomspace(critical / 100, critical * 100, 13) if end_stds is None else end_stds
    errors = []
    for end_std in values:
        single: list[float] = []
        for clean, anchor in pairs:
            last = torch.full((draws,), scheduler.num_steps)
            shape = (draws, *anchor.shape[1:])
            mean, _ = scheduler.moments(clean.expand(shape), anchor.expand(shape), last)
            sigma = scheduler.sigma * float(end_std) / scheduler.end_std
            total = _accumulated(scheduler, noise, shape, scheduler.num_steps, generator)
            single += _squares(mean + sigma * total - anchor).tolist()
        errors.append(np.asarray(single))
    return EndpointErrors(
        np.asarray(values, float), _means(errors), critical, scheduler.end_std, rms
    )


def accumulated_noise(
    scheduler: AnchoredPathScheduler, noise: ResidualNoise, draws: int, generator: Generator
) -> AccumulatedNoise:
    """Sum the noise along whole chains and measure its coherent part.

    Args:
        scheduler: The path.
        noise: The noise, with or without rotation and centring.
        draws: Chains, at least 2.
        generator: Source of the randomness.
    """
    side = noise.bank.residuals.shape[-1]
    shape = (draws, 1, side, side)
    total = _accumulated(scheduler, noise, shape, scheduler.num_steps, generator)
    total = total[:, 0] * scheduler.sigma / scheduler.end_std
    directions = preferred_direction(total)
    spread = directions.std(0).square().sum().sqrt() / draws**0.5
    profile = scheduler.profile.cpu().double()[1:]
    share = fixed_pattern(noise).square().mean().item()
    # A fixed pattern adds up as the sum of f, noise as the root of the sum of f^2.
    common = share * float(profile.sum()) ** 2
    return AccumulatedNoise(
        rotated=noise.rotate,
        centred=noise.centre,
        example=total[0].numpy(),
        mean=total.mean(0).numpy(),
        draws=draws,
        direction=(float(directions.mean(0).norm()), float(spread)),
        fixed_share=common / (common + (1 - share) * float(profile.square().sum())),
    )


def preferred_direction(fields: Tensor) -> Tensor:
    r"""Return the direction that the edges of each field prefer, as a vector of doubled angle.

    .. math:: (J_{xx} - J_{yy},\; 2 J_{xy}) / (J_{xx} + J_{yy})

    with ``J`` the structure tensor, summed over the field. The length is 0 if no direction is
    preferred and 1 if all edges are parallel. A field rotated by 90 degrees has the opposite
    vector, so the mean over random rotations is zero.

    Shape:
        ``fields``: ``(B, X, Y)``; output: ``(B, 2)``, zero for a constant field.
    """
    along_x = (fields[:, 2:, 1:-1] - fields[:, :-2, 1:-1]).double()
    along_y = (fields[:, 1:-1, 2:] - fields[:, 1:-1, :-2]).double()
    xx, yy, xy = (
        product.flatten(1).sum(1)
        for product in (along_x.square(), along_y.square(), along_x * along_y)
    )
    return torch.stack([xx - yy, 2 * xy], 1) / (xx + yy).clamp_min(1e-300).unsqueeze(1)


def fixed_pattern(noise: ResidualNoise) -> Tensor:
    """Return the expected value of one draw at each pixel, ``(S, S)``.

    In theory it is zero. For a finite bank it is the mean image, over the rotations, too, if there
    are any: a pattern that all links of all chains share and that therefore adds up. The option
    ``centre`` subtracts it.
    """
    if noise.centre:
        return torch.zeros(noise.bank.residuals.shape[1:], dtype=torch.float64)
    return mean_field(noise.bank.residuals, noise.rotate)


def _accumulated(
    scheduler: AnchoredPathScheduler,
    noise: ResidualNoise,
    shape: tuple[int, ...],
    step: int,
    generator: Generator,
) -> Tensor:
    """Draw the weighted sum of the noise up to a step, once a sample."""
    steps = torch.full((shape[0],), step)
    profile = scheduler.profile.cpu()
    return noise.accumulate(profile, steps, shape, "cpu", generator)


def _squares(fields: Tensor) -> Array:
    """Return the mean square of each sample."""
    return np.asarray(fields.square().flatten(1).mean(1).double())


def _means(samples: Sequence[Array]) -> Means:
    """Return the mean of each row of samples, and its standard error."""
    means = [float(values.mean()) for values in samples]
    errors = [float(values.std(ddof=1) / np.sqrt(values.size)) for values in samples]
    return np.asarray(means), np.asarray(errors)
