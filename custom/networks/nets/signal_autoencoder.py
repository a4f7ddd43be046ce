"""The paper's autoencoders of diffusion signals: variational and denoising."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from custom.networks.stored_protocol import TrainedFor, keep_protocol, set_protocol

__all__ = ["LatentKind", "SignalAutoencoder"]

LatentKind = Literal["variational", "linear", "relu"]
_KINDS = ("variational", "linear", "relu")
# Bound of a latent's log variance: beyond it the exponential over- or underflows in half precision.
_LOG_VARIANCE = 15.0


class SignalAutoencoder(nn.Module):
    """Fully connected encoder and decoder of one voxel's signals.

    Three layers down, the latents, three up and one to the signals, as
    ``32-25-19-13-7-13-19-25-32``, with ReLU between, and a sigmoid at the end, since a signal lies
    between 0 and ``S_0``.

    Args:
        num_measurements: Signals of a voxel, ``M``.
        hidden: Widths of the three layers down; up they are the same in reverse.
        latent: Number of latents.
        kind: ``variational``: mean and log variance of each latent, by two parallel layers.
            ``relu``: plain latents after a ReLU, the paper's denoising autoencoder. ``linear``:
                without the ReLU.

    Shape:
        ``signals``: ``(B, M)`` in units of ``S_0``; output: ``(B, M)``, or, with ``with_latents``,
        ``(B, M + 2 L)``: signals, means and log variances.

    Raises:
        ValueError: If a number is less than 1, or ``kind`` is unknown.

    Source:
        docs/methods/dwi_vae.md, "Networks": the widths are ours, the paper gives the number of
        layers and of latents.
    """

    def __init__(
        self,
        num_measurements: int = 32,
        hidden: Sequence[int] = (25, 19, 13),
        latent: int = 7,
        kind: LatentKind = "variational",
    ) -> None:
        super().__init__()
        if min(num_measurements, latent, *hidden) < 1:
            raise ValueError(
                f"num_measurements, hidden and latent must be at least 1, got {num_measurements}, "
                f"{tuple(hidden)}, {latent}"
            )
        if kind not in _KINDS:
            raise ValueError(f"kind must be one of {_KINDS}, got {kind!r}")
        self.variational = kind == "variational"
        self.rectified = kind == "relu"
        self.latent = latent
        self.bound = _LOG_VARIANCE
        self.encoder = _layers([num_measurements, *hidden])
        self.mean = nn.Linear(hidden[-1], latent)
        self.log_variance = nn.Linear(hidden[-1], latent) if self.variational else nn.Identity()
        self.decoder = _layers([latent, *reversed(hidden)])
        self.output = nn.Linear(hidden[0], num_measurements)
        keep_protocol(self, num_measurements, _KINDS.index(kind))

    def fit_to(self, simulation: TrainedFor) -> SignalAutoencoder:
        """Store the protocol that the network is trained for, and return the network."""
        set_protocol(self, simulation)
        return self

    def encode(self, signals: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of each latent, ``(B, L)``; plain latents have variance 0.

        Without variance the second is the smallest log variance that is used.
        """
        hidden = self.encoder(signals)
        mean = self.mean(hidden)
        if self.rectified:
            mean = torch.relu(mean)
        if self.variational:
            return mean, self.log_variance(hidden).clamp(-self.bound, self.bound)
        return mean, torch.full_like(mean, -self.bound)

    def decode(self, latents: Tensor) -> Tensor:
        """Return signals ``(B, M)`` of latents ``(B, L)``."""
        return torch.sigmoid(self.output(self.decoder(latents)))

    def forward(self, signals: Tensor, with_latents: bool = False, sample: bool = False) -> Tensor:
        """Reconstruct signals, from the means of the latents unless ``sample`` is set.

        Args:
            signals: Noisy signals.
            with_latents: Whether means and log variances follow the signals.
            sample: Whether latents are drawn: ``mean + std * e`` (source, equation 1).
        """
        mean, log_variance = self.encode(signals)
        latents = mean
        if sample and self.variational:
            latents = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        restored = self.decode(latents)
        if with_latents:
            return torch.cat([restored, mean, log_variance], dim=1)
        return restored


def _layers(widths: Sequence[int]) -> nn.Sequential:
    """Return linear layers between widths, each with a ReLU."""
    pairs = pairwise(widths)
    return nn.Sequential(*(part for pair in pairs for part in (nn.Linear(*pair), nn.ReLU())))
