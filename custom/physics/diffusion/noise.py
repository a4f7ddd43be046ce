"""Noise of diffusion signals: models, their likelihoods, and distributions of noise levels."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Generator, Tensor

from custom.physics.acquisition import rician
from custom.setting_checks import check_bounds, check_share, check_whole

__all__ = [
    "ClippedGaussianNoise",
    "LevelDistribution",
    "MixedLevels",
    "NoiseModel",
    "PublishedLevels",
    "RicianNoise",
    "move_floor",
]

# Ratios of signal and noise at which means of noisy signals are tabulated; beyond, the floor is
# less than a fiftieth of the noise.
_RATIOS = np.linspace(0.0, 30.0, 3001)


class ClippedGaussianNoise:
    r"""Gaussian noise of zero mean; values below 0 become 0, as in the paper.

    A value of 0 was 0 or less before it was cut, so its likelihood is the probability of that,
    :math:`\Phi(-S / \sigma)`.

    Args:
        clip: Whether values below 0 become 0.

    Source:
        docs/methods/dwi_vae.md, "Simulation".
    """

    def __init__(self, clip: bool = True) -> None:
        self.clip = clip

    def add(self, signal: Tensor, sigma: Tensor, generator: Generator) -> Tensor:
        """Return ``max(0, signal + noise)``, ``(B, M)``, for deviations ``(B, 1)``."""
        noise = torch.randn(signal.shape, generator=generator, device=signal.device)
        noisy = torch.addcmul(signal, noise, sigma)
        return noisy.clamp_(min=0.0) if self.clip else noisy

    def log_likelihood(self, noisy: Tensor, signal: Tensor, sigma: Tensor) -> Tensor:
        """Return the log density, summed over the last axis; shapes broadcast, ``sigma`` > 0."""
        deviation = (noisy - signal) / sigma
        density = -0.5 * deviation.square() - sigma.log() - 0.5 * math.log(2 * math.pi)
        if self.clip:
            # Not log(ndtr(x)): ndtr underflows to 0 where the signal is far above the noise.
            cut = torch.special.log_ndtr(-signal / sigma)
            density = torch.where(noisy > 0, density, cut)
        total: Tensor = density.sum(-1)
        return total

    def mean(self, ratio: Tensor) -> Tensor:
        """Return the mean of a noisy signal, both in units of the noise."""
        density = torch.exp(-0.5 * ratio.square()) / math.sqrt(2 * math.pi)
        return ratio * torch.special.ndtr(ratio) + density if self.clip else ratio


class RicianNoise:
    r"""Rician noise: the magnitude of a signal with Gaussian noise in both channels.

    .. math:: p(y | S) = \tfrac{y}{\sigma^2} e^{-(y^2 + S^2) / 2 \sigma^2} I_0(y S / \sigma^2)

    Source:
        docs/methods/dwi_vae.md, "Asked for by the paper"; H. Gudbjartsson, S. Patz, Magnetic
        Resonance in Medicine 34 (1995), 910-914.
    """

    def add(self, signal: Tensor, sigma: Tensor, generator: Generator) -> Tensor:
        """Return the magnitude, ``(B, M)``, for deviations ``(B, 1)``."""
        return rician(signal, sigma, generator)

    def log_likelihood(self, noisy: Tensor, signal: Tensor, sigma: Tensor) -> Tensor:
        """Return the log density, summed over the last axis; shapes broadcast, ``sigma`` > 0."""
        product = noisy * signal / sigma.square()
        density = (
            # A magnitude of exactly 0 would give -inf, and NaN in differences of likelihoods.
            noisy.clamp_min(torch.finfo(noisy.dtype).tiny).log()
            - 2 * sigma.log()
            - 0.5 * ((noisy - signal) / sigma).square()
            + torch.special.i0e(product).log()  # scaled by exp(-x), which the square above holds
        )
        total: Tensor = density.sum(-1)
        return total

    def mean(self, ratio: Tensor) -> Tensor:
        """Return the mean of a noisy signal, both in units of the noise."""
        half = ratio.square() / 4
        bessel = (1 + 2 * half) * torch.special.i0e(half) + 2 * half * torch.special.i1e(half)
        mean: Tensor = math.sqrt(math.pi / 2) * bessel
        return mean


NoiseModel = ClippedGaussianNoise | RicianNoise
"""Noise of a given standard deviation, in units of ``S_0``."""


def move_floor(noise: NoiseModel, mean: Tensor, sigma: Tensor, level: Tensor) -> Tensor:
    """Turn the mean of noisy signals into the mean that weaker noise would give.

    Noise that is cut at 0, or a magnitude, lifts weak signals: an average over voxels has less
    noise, but still the floor of one voxel's.

    Args:
        noise: Model of the noise.
        mean: Averages of noisy signals.
        sigma: Noise level of what was averaged; 0: nothing changes.
        level: Noise level whose floor the result has.

    Shape:
        ``mean``: ``(n, M)``; ``sigma``, ``level``: ``(n, 1)``; output: ``(n, M)``.

    Source:
        C. G. Koay, P. J. Basser, Journal of Magnetic Resonance 179 (2006), 317-322: the inversion
        of the mean, here by a table.
    """
    lifted = noise.mean(torch.from_numpy(_RATIOS)).numpy()
    ratio = (mean / sigma).double().numpy()
    signal = np.where(ratio < lifted[-1], np.interp(ratio, lifted, _RATIOS), ratio)
    target = signal * (sigma / level).double().numpy()
    target = np.where(target < _RATIOS[-1], np.interp(target, _RATIOS, lifted), target)
    moved = level * torch.from_numpy(target).to(mean.dtype)
    return torch.where((sigma > 0) & (level > 0), moved, mean)


class PublishedLevels:
    """The paper's levels: no noise, and deviations of 0.04, 0.07, ... 0.91.

    Args:
        levels: Number of levels with noise; 30 in the paper.

    Source:
        docs/methods/dwi_vae.md, "Simulation"; the text says 0 to 0.91.
    """

    def __init__(self, levels: int = 30) -> None:
        check_whole("levels", levels, 1)
        self.values = torch.tensor([0.0, *(0.01 + 0.03 * i for i in range(1, levels + 1))])

    @property
    def bounds(self) -> tuple[float, float]:
        """First and last level with noise."""
        low, high = self.values[1].item(), self.values[-1].item()
        return round(low, 6), round(high, 6)  # as they are written, not as float32 holds them

    def draw(self, count: int, generator: Generator) -> Tensor:
        """Draw deviations ``(count, 1)`` with equal probability, in units of ``S_0``."""
        index = torch.randint(
            len(self.values), (count, 1), generator=generator, device=generator.device
        )
        return self.values.to(generator.device)[index]


class MixedLevels:
    """Half of the deviations uniform, half log-uniform.

    The first half covers the strong noise of the paper, the second gives weak noise its share.

    Args:
        lowest: Smallest deviation of the logarithmic half, in units of ``S_0``.
        highest: Largest of both halves.
        clean_share: Share of signals without noise.

    Raises:
        ValueError: If a bound is not positive, the bounds are not in order, or the share is not
            0..1.

    Source:
        docs/methods/dwi_vae.md, "Recipe".
    """

    def __init__(
        self, lowest: float = 0.01, highest: float = 0.95, clean_share: float = 0.0
    ) -> None:
        check_bounds(lowest, highest)
        check_share("clean_share", clean_share)
        self.lowest, self.highest, self.clean_share = lowest, highest, clean_share

    @property
    def bounds(self) -> tuple[float, float]:
        """Bounds of the log-uniform half; few deviations of the uniform half are lower."""
        return self.lowest, self.highest

    def draw(self, count: int, generator: Generator) -> Tensor:
        """Draw deviations ``(count, 1)``, in units of ``S_0``."""
        # One number serves both halves: which of them is taken does not depend on it.
        drawn, which = torch.rand((2, count, 1), generator=generator, device=generator.device)
        logarithmic = self.lowest * (self.highest / self.lowest) ** drawn
        uniform = self.highest * drawn
        noise = (1 - self.clean_share) / 2
        levels = torch.where(which < noise, logarithmic, uniform)
        return torch.where(which >= 2 * noise, torch.zeros_like(levels), levels)


LevelDistribution = PublishedLevels | MixedLevels
"""Distribution of the noise level of a signal."""
