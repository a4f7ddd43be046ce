"""Likelihoods of draws, and means weighted by them, accumulated block by block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from custom.physics.diffusion.noise import NoiseModel

__all__ = ["Moments", "SeparableLikelihood", "WeightedSums", "joined", "unknown_scale"]

_NODES = 128  # at least, of noiseless values at which the coefficients are read off
_STEPS_PER_SIGMA = 500  # of the table: linear interpolation is then within 1e-6 of a logarithm
_TOLERANCE = 1e-11  # of the largest singular value


@dataclass(frozen=True)
class Moments:
    """Posterior mean and variance of noiseless signals.

    Attributes:
        signal: Mean of the noiseless signal, ``(n, M)``, in units of ``S_0``.
        signal_variance: Its variance, ``(n, M)``.
        tensor: Mean of the tensor, ``(n, 6)`` in µm²/ms; None where the prior has none.
        tensor_variance: Its variance, ``(n, 6)``, or None.
        effective_size: Effective sample size of the weighted draws, ``(n,)``.
    """

    signal: Tensor
    signal_variance: Tensor
    tensor: Tensor | None
    tensor_variance: Tensor | None
    effective_size: Tensor

    def first(self, count: int) -> Moments:
        """Return those of the first so many signals."""
        parts: list[Any] = [None if part is None else part[:count] for part in vars(self).values()]
        return Moments(*parts)


class WeightedSums:
    r"""Sums of weighted draws, block by block: any number of draws in bounded memory.

    Weights are :math:`\exp(l - \max l)` with the greatest logarithm so far, and older sums are
    scaled down when a greater one comes. Sums within a block have the precision of its values,
    sums over blocks are in double precision.

    Args:
        count: Number of noisy signals ``n``.
        device: Where the sums lie.

    Shape:
        ``log_weights``: ``(n, K)``; values: ``(K, F)``, the same draws for all, or ``(n, K, F)``.
    """

    def __init__(self, count: int, device: torch.device | None = None) -> None:
        self._top = torch.full((count, 1), -torch.inf, dtype=torch.float64, device=device)
        self._sums: list[Tensor] = []

    def add(
        self,
        log_weights: Tensor,
        signal: Tensor,
        tensor: Tensor | None,
        factor: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        """Add a block of draws.

        Args:
            log_weights: Minus infinity where a draw has no weight.
            signal: Signals of the draws.
            tensor: Tensors of the draws.
            factor: Mean and mean square of each signal's scale, each ``(n, K)``; None for 1.
        """
        top = torch.maximum(self._top, log_weights.amax(1, keepdim=True).double())
        weights = torch.exp(log_weights - _finite(top).to(log_weights.dtype))
        mean, square = (weights, weights) if factor is None else (weights * f for f in factor)
        new = [part.sum(1, keepdim=True).double() for part in (weights, weights.square())]
        new += [_product(mean, signal), _product(square, signal.square())]
        if tensor is not None:
            new += [_product(weights, tensor), _product(weights, tensor.square())]
        self._merge(top, new)

    def merged(self, other: WeightedSums) -> WeightedSums:
        """Return the sums of both."""
        both = WeightedSums(len(self._top), self._top.device)
        both._sums, both._top = self._sums, self._top
        top = torch.maximum(self._top, other._top)
        both._merge(top, _scaled(other._sums, other._top, top))
        return both

    def moments(self) -> Moments:
        """Return means and variances; not a number where nothing has weight."""
        total, squares, *sums = self._sums
        means = [value / total for value in sums]
        # Rounding can leave a difference of squares below 0.
        spread = [(means[i + 1] - means[i].square()).clamp_min(0) for i in range(0, len(means), 2)]
        size = (total.square() / squares).squeeze(1)
        if len(sums) == 2:
            return Moments(means[0], spread[0], None, None, size)
        return Moments(means[0], spread[0], means[2], spread[1], size)

    def _merge(self, top: Tensor, new: list[Tensor]) -> None:
        """Add sums of weights whose greatest logarithm, and that of those so far, is ``top``."""
        if self._sums:
            old = _scaled(self._sums, self._top, top)
            new = [first + second for first, second in zip(old, new, strict=True)]
        self._sums, self._top = new, top


def unknown_scale(
    product: Tensor, square: Tensor, sigma: float
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    r"""Integrate out the unknown scale of a signal, under Gaussian noise and a flat prior.

    .. math:: \int e^{-|y - s f|^2 / 2 \sigma^2} ds \propto |f|^{-1} e^{(y f)^2 / 2 \sigma^2 |f|^2}

    Given ``f``, the scale has the mean :math:`y f / |f|^2` and the variance :math:`\sigma^2 /
    |f|^2`.

    Args:
        product: :math:`y f`.
        square: :math:`|f|^2`; shapes broadcast.
        sigma: Standard deviation of the noise.

    Returns:
        The logarithm of the integral without terms that do not depend on ``f``; and the mean and
        mean square of the scale.
    """
    mean, variance = product / square, sigma**2 / square
    return 0.5 * (mean * product / sigma**2 - square.log()), (mean, mean.square() + variance)


def joined(parts: list[Moments]) -> Moments:
    """Concatenate the moments of blocks of signals."""
    columns: list[Any] = list(zip(*(vars(part).values() for part in parts), strict=True))
    values: list[Any] = [None if column[0] is None else torch.cat(column) for column in columns]
    return Moments(*values)


def _finite(top: Tensor) -> Tensor:
    """Return 0 where nothing has weight: minus infinity less itself would be NaN."""
    return top.nan_to_num(neginf=0.0)


def _scaled(sums: list[Tensor], top: Tensor, new_top: Tensor) -> list[Tensor]:
    """Scale sums to a greater logarithm; the second are of squared weights."""
    scale = torch.exp(top - _finite(new_top))
    return [value * (scale.square() if i == 1 else scale) for i, value in enumerate(sums)]


def _product(weights: Tensor, values: Tensor) -> Tensor:
    """Sum weighted values over the draws, ``(n, F)``; a matrix of values is shared by all."""
    if values.ndim == 2:
        return (weights.to(values.dtype) @ values).double()
    return (weights.to(values.dtype).unsqueeze(1) @ values).squeeze(1).double()


class SeparableLikelihood:
    r"""Log likelihoods of independent measurements as sums of products.

    .. math:: \log p(y | S) = \sum_m \ell(y_m, S_m) \approx c(y) + \sum_m \sum_r a_r(y_m) f_r(S_m)

    :math:`\ell` is smooth on the scale of the noise, so that few terms give it to rounding error:
    three for Gaussian noise that is cut at 0, about ten for Rician noise. The terms come from a
    singular value decomposition of :math:`\ell` on a grid, for any noise model; :math:`c` does not
    depend on the noiseless signal, and is left out. Evaluating :math:`\ell` for each pair would
    take some fifty times as long.

    Args:
        noise: Noise model with independent, identically distributed measurements.
        sigma: Its standard deviation, in units of ``S_0``, above 0.
        noisy: All noisy values; only their range matters.
        clean: All noiseless values; only their range matters.
    """

    def __init__(self, noise: NoiseModel, sigma: float, noisy: Tensor, clean: Tensor) -> None:
        self._noise, self._sigma = noise, clean.new_tensor(sigma, dtype=torch.float64)
        low, high = float(clean.min()), float(clean.max())
        self._low, self._step = low, sigma / _STEPS_PER_SIGMA
        # Five nodes a deviation of the noise, the length over which a likelihood changes; spaced as
        # Chebyshev's, since even spacing determines a smooth function badly near its ends.
        nodes = max(_NODES, int(5 * (high - low) / sigma))
        angle = torch.linspace(0, torch.pi, nodes, dtype=torch.float64, device=clean.device)
        self._nodes = low + (high - low) * (1 - angle.cos()) / 2
        grid = torch.linspace(
            float(noisy.min()),
            float(noisy.max()),
            3 * nodes,
            dtype=torch.float64,
            device=clean.device,
        )
        left, size, right = torch.linalg.svd(self._centred(grid, self._nodes), full_matrices=False)
        rank = int((size > _TOLERANCE * size[0]).sum())
        self._read = right[:rank].T / size[:rank]
        count = int((high - low) / self._step) + 2
        points = low + self._step * torch.arange(count, dtype=torch.float64, device=clean.device)
        self._table = torch.cat(
            [self._centred(grid, part).T @ left[:, :rank] for part in torch.split(points, 4096)]
        )

    def of_noisy(self, noisy: Tensor) -> Tensor:
        """Return the coefficients of noisy signals ``(n, M)``, ``(n, M R)``, float64."""
        # Double: they are divided by singular values down to 1e-11 of the largest.
        values: Tensor = self._centred(noisy.double().reshape(-1), self._nodes) @ self._read
        return values.reshape(len(noisy), -1)

    def of_clean(self, clean: Tensor) -> Tensor:
        """Return the functions of noiseless signals ``(K, M)``, ``(K, M R)``, float64."""
        place = (clean.double().reshape(-1) - self._low) / self._step
        index = place.long().clamp_(0, len(self._table) - 2)
        share = (place - index).unsqueeze(1)
        values = torch.lerp(self._table[index], self._table[index + 1], share)
        return values.reshape(len(clean), -1)

    def _centred(self, noisy: Tensor, clean: Tensor) -> Tensor:
        """Return the log density of each pair less that at the lowest node, ``(n, K)``."""
        first, second = noisy[:, None, None], clean[None, :, None]
        density = self._noise.log_likelihood(first, second, self._sigma)
        middle = self._nodes[:1, None, None]
        return density - self._noise.log_likelihood(first, middle, self._sigma)
