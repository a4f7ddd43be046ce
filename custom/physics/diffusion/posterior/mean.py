"""The limit of denoising: the posterior mean of diffusion signals under a stated prior and noise.

No estimator has a smaller mean squared error on signals of that prior with that noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Generator, Tensor

from custom.physics.diffusion.noise import ClippedGaussianNoise, NoiseModel
from custom.physics.diffusion.posterior.importance_sampling import (
    Moments,
    SeparableLikelihood,
    WeightedSums,
    joined,
    unknown_scale,
)
from custom.physics.diffusion.posterior.own_draws import OwnDraws
from custom.physics.diffusion.priors import BoxPrior, Draw, SignalPrior
from custom.physics.diffusion.tensor import tensor_signal
from custom.setting_checks import check_above_zero, check_whole

__all__ = ["LatticePrior", "Posterior", "PosteriorMean"]

_ROWS = 1024  # noisy signals at a time
_ATOMS = 8192  # shared draws at a time
# Log weights grow as 1 / sigma², and with them the rounding errors of single precision.
_SINGLE_FROM = 0.1  # noise level from which products of matrices may be of single precision

# Log weights (n, K) of a slice of the shared draws, for a block of noisy signals; and, where
# the scale is unknown, the mean and mean square of each signal's scale.
_Pairs = tuple[Tensor, tuple[Tensor, Tensor] | None]


@runtime_checkable
class LatticePrior(Protocol):
    """A prior of finitely many, equally probable tensors: the sum over them is exact."""

    def tensors(self, b_rows: Tensor) -> Tensor:
        """Return every tensor, ``(K, 6)`` in µm²/ms."""
        ...


@dataclass(frozen=True)
class Posterior:
    """Posterior moments of noisy signals.

    Attributes:
        whole: Estimate from all draws.
        halves: Estimates from each half of the draws, which are independent; None where the sum is
            exact.
    """

    whole: Moments
    halves: tuple[Moments, Moments] | None

    def first(self, count: int) -> Posterior:
        """Return the moments of the first signals."""
        whole, halves = self.whole.first(count), self.halves
        pair = None if halves is None else (halves[0].first(count), halves[1].first(count))
        return Posterior(whole, pair)


class PosteriorMean:
    r"""Posterior means by importance sampling, or by an exact sum where the prior is a lattice.

    Draws of the prior, shared by all signals, are weighted by their likelihood. Where the noise is
    so weak that few of these come near a signal, each signal has draws of its own
    (:class:`custom.physics.diffusion.posterior.own_draws.OwnDraws`), for which the prior must be
    :class:`custom.physics.diffusion.priors.BoxPrior`; with another prior the shared draws are used
    at every level, and a small effective size shows where they are too few.

    Args:
        prior: Prior of the signals.
        noise: Noise of the measurements.
        b_rows: ``(M, 6)`` of :func:`custom.physics.diffusion.tensor.b_matrix`.
        draws: Number of shared draws.
        own_draws: Number of draws of each signal.
        own_below: Noise level, in units of ``S_0`` and for 32 measurements, below which signals
            have draws of their own; for more measurements it is higher by the root of their number.
        scale_known: Whether ``S_0`` is 1; otherwise each signal has an unknown scale with a flat
            prior, which is integrated out; means are then of the scaled signal. Needs Gaussian
            noise.

    Raises:
        ValueError: If a number is out of range, or an unknown scale meets noise that is not
            Gaussian.

    Source:
        docs/methods/dwi_vae.md, "Limit"; A. B. Owen, "Monte Carlo theory, methods and examples",
        2013, chapter 9.
    """

    def __init__(
        self,
        prior: SignalPrior,
        noise: NoiseModel,
        b_rows: Tensor,
        *,
        draws: int = 300_000,
        own_draws: int = 4000,
        own_below: float = 0.25,
        scale_known: bool = True,
    ) -> None:
        check_whole("draws", draws, 2)
        check_whole("own_draws", own_draws, 2)
        if not scale_known and (not isinstance(noise, ClippedGaussianNoise) or noise.clip):
            raise ValueError(
                "an unknown scale needs Gaussian noise that is not cut: ClippedGaussianNoise(False)"
            )
        self.prior, self.noise, self.b_rows = prior, noise, b_rows
        self.draws, self.scale_known = draws, scale_known
        self.own_below = own_below * math.sqrt(len(b_rows) / 32)
        self._own = OwnDraws(noise, b_rows, own_draws, scale_known=scale_known)
        self._shared: Draw | None = None

    def __call__(self, noisy: Tensor, sigma: float, generator: Generator) -> Posterior:
        """Return the posterior moments of noisy signals of one noise level.

        Args:
            noisy: Noisy signals in units of ``S_0``.
            sigma: Standard deviation of the noise, in the same units, above 0.
            generator: Random generator; shared draws are made once, when first needed.

        Shape:
            ``noisy``: ``(n, M)``.

        Raises:
            ValueError: If ``sigma`` is not positive.
        """
        check_above_zero("sigma", sigma)
        if isinstance(self.prior, BoxPrior) and sigma < self.own_below:
            pairs = [
                self._own(part, sigma, generator)
                for part in torch.split(noisy, self._own.rows_at_once)
            ]
        else:
            pairs = self._from_shared(noisy, sigma, self._draw_shared(generator))
        whole = joined([first.merged(second).moments() for first, second in pairs])
        if isinstance(self.prior, LatticePrior):
            return Posterior(whole, None)
        one, other = (joined([pair[side].moments() for pair in pairs]) for side in (0, 1))
        return Posterior(whole, (one, other))

    def _draw_shared(self, generator: Generator) -> Draw:
        """Return draws of the prior, or every tensor of a lattice, made once."""
        if self._shared is None:
            if isinstance(self.prior, LatticePrior):
                tensors = self.prior.tensors(self.b_rows)
                self._shared = Draw(tensor_signal(tensors, self.b_rows), tensors)
            else:
                self._shared = self.prior.draw(self.draws, self.b_rows, generator)
        return self._shared

    def _from_shared(
        self, noisy: Tensor, sigma: float, shared: Draw
    ) -> list[tuple[WeightedSums, WeightedSums]]:
        """Weight the shared draws for each signal; alternate slices of them form the two halves."""
        dtype = torch.float32 if sigma >= _SINGLE_FROM else torch.float64
        signal = shared.signal.to(dtype)
        tensor = None if shared.tensor is None else shared.tensor.to(dtype)
        weigh = self._weigher(noisy, signal, sigma)
        # At most half of the draws, so that neither half stays empty.
        size = min(_ATOMS, math.ceil(len(signal) / 2))
        pairs = []
        for block in torch.split(noisy.to(dtype), _ROWS):
            halves = WeightedSums(len(block)), WeightedSums(len(block))
            for i, first in enumerate(range(0, len(signal), size)):
                rows = slice(first, first + size)
                values = None if tensor is None else tensor[rows]
                weights, factor = weigh(block, signal[rows])
                halves[i % 2].add(weights, signal[rows], values, factor)
            pairs.append(halves)
        return pairs

    def _weigher(
        self, noisy: Tensor, signal: Tensor, sigma: float
    ) -> Callable[[Tensor, Tensor], _Pairs]:
        """Return a function that gives the log weights of shared draws."""
        if not self.scale_known:
            return lambda block, part: unknown_scale(block @ part.T, part.square().sum(1), sigma)
        likelihood = SeparableLikelihood(self.noise, sigma, noisy, signal)

        def weigh(block: Tensor, part: Tensor) -> _Pairs:
            left, right = likelihood.of_noisy(block), likelihood.of_clean(part)
            return left.to(part.dtype) @ right.to(part.dtype).T, None

        return weigh
