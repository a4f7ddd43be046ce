"""Distributions of an autoencoder's latents, and their contributions to the reconstruction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from monai.networks.utils import eval_mode
from torch import Tensor

from custom.losses.signal_losses import kl_divergence
from custom.networks.nets.signal_autoencoder import SignalAutoencoder

__all__ = ["LatentMeasures", "divergence_of_each", "latent_rows", "measure_latents"]

_ACTIVE = 0.01  # nats
_STEPS = 9  # from -2 to 2 standard deviations


@dataclass(frozen=True)
class LatentMeasures:
    """Latents over many signals.

    Attributes:
        name: Name of the network.
        means: ``(n, L)``: inputs of the decoder.
        posterior_std: ``(L,)``: root mean square of the deviations that the encoder gives; 0
            without any.
        divergence: ``(L,)``: mean divergence of each latent from the prior, in nats; None without
            deviations.
        error: Mean squared error of the reconstruction.
        contribution: ``(L,)``: growth of the error if a latent is set to its mean over all signals.
        shifts: ``(S,)``: multiples of a latent's standard deviation over the signals.
        changes: ``(L, S, M)``: decoded signals there, others at their mean, less those at the mean.
    """

    name: str
    means: Tensor
    posterior_std: Tensor
    divergence: Tensor | None
    error: float
    contribution: Tensor
    shifts: Tensor
    changes: Tensor

    @property
    def active(self) -> Tensor:
        """Return True for active latents, ``(L,)``.

        Their divergence is above 0.01 nats; without a divergence, their variance is not 0.
        """
        if self.divergence is None:
            return self.means.std(0) > 0
        return self.divergence > _ACTIVE

    @property
    def order(self) -> list[int]:
        """Numbers of the latents, the one that contributes most first."""
        return [int(j) for j in self.contribution.argsort(descending=True)]


def measure_latents(
    name: str, network: SignalAutoencoder, noisy: Tensor, clean: Tensor
) -> LatentMeasures:
    """Measure the latents of noisy signals.

    Args:
        name: Name of the network.
        network: The autoencoder.
        noisy: ``(n, M)``.
        clean: The same without noise, ``(n, M)``.
    """
    parameter = next(network.parameters())
    with torch.no_grad(), eval_mode(network):
        mean, log_variance = network.encode(noisy.to(parameter))
        centre, spread = mean.mean(0), mean.std(0)

        def error_of(latents: Tensor) -> float:
            restored = network.decode(latents).double().cpu()
            return float((restored - clean.double()).square().mean())

        error = error_of(mean)
        replaced = []
        for j in range(network.latent):
            latents = mean.clone()
            latents[:, j] = centre[j]
            replaced.append(error_of(latents))
        shifts = torch.linspace(-2, 2, _STEPS)
        moved = centre.repeat(network.latent, _STEPS, 1)
        for j in range(network.latent):
            moved[j, :, j] += shifts.to(parameter) * spread[j]
        changes = network.decode(moved) - network.decode(centre)
    variational = network.variational
    spreads = log_variance.exp().mean(0).sqrt() if variational else torch.zeros(len(centre))
    return LatentMeasures(
        name=name,
        means=mean.cpu(),
        posterior_std=spreads.cpu(),
        divergence=divergence_of_each(mean, log_variance).cpu() if variational else None,
        error=error,
        contribution=torch.tensor(replaced, dtype=torch.float64) - error,
        shifts=shifts,
        changes=changes.cpu(),
    )


def divergence_of_each(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the mean divergence of each latent from a standard normal one, in nats.

    Shape:
        ``(n, L)`` both; output: ``(L,)``.
    """
    latents = range(mean.shape[1])
    return torch.stack([kl_divergence(mean[:, [j]], log_variance[:, [j]]).mean() for j in latents])


def latent_rows(found: LatentMeasures) -> list[dict[str, Any]]:
    """Return a row for each latent, the one that contributes most first."""
    return [
        {
            "network": found.name,
            "latent": j,
            "mean": float(found.means[:, j].mean()),
            "std": float(found.means[:, j].std()),
            "posterior_std": float(found.posterior_std[j]),
            "kl_nats": None if found.divergence is None else float(found.divergence[j]),
            "contribution": float(found.contribution[j]),
            "active": bool(found.active[j]),
        }
        for j in found.order
    ]
