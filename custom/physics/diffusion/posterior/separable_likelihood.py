"""Likelihoods of many noisy signals under many noiseless ones, as one matrix product."""

from __future__ import annotations

import torch
from torch import Tensor

from custom.physics.diffusion.noise import NoiseModel

__all__ = ["SeparableLikelihood"]

_NODES = 128  # at least, of noiseless values at which the coefficients are read off
_STEPS_PER_SIGMA = 500  # of the table: linear interpolation is then within 1e-6 of a logarithm
_TOLERANCE = 1e-11  # of the largest singular value


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
