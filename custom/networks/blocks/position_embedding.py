"""Embedding of the position on a path, for conditioning a network."""

import math

import torch
from torch import Tensor, nn

__all__ = ["PositionEmbedding", "sinusoids"]

# Cycles over the whole path. The slowest wave is monotone from one end to the other, so that the
# ends differ; the fastest changes little from one of 100 steps to the next, so that a network
# trained with one number of steps can be used with another.
_SLOWEST, _FASTEST = 0.25, 8.0


def sinusoids(position: Tensor, frequencies: Tensor) -> Tensor:
    r"""Return :math:`(\sin 2\pi\nu_k p, \cos 2\pi\nu_k p)_k`.

    Args:
        position: Position on the path, 0 to 1.
        frequencies: :math:`\nu`, in cycles over the path.

    Shape:
        ``position``: ``(B,)`` or ``(B, 1)``; ``frequencies``: ``(F,)``; output ``(B, 2 F)``.
    """
    angles = 2 * math.pi * position.reshape(-1, 1) * frequencies
    return torch.cat([torch.sin(angles), torch.cos(angles)], dim=1)


class PositionEmbedding(nn.Module):
    """Sinusoids of geometrically spaced frequencies, then two linear layers with SiLU.

    Args:
        features: Number of features; even, since each frequency gives a sine and a cosine.

    Shape:
        ``position``: ``(B,)`` or ``(B, 1)``, 0 to 1; output ``(B, features)``.

    Raises:
        ValueError: If ``features`` is not a positive even number.

    Source:
        docs/methods/micro_mri_denoise.md, "Anchored path diffusion": a U-Net conditioned on t/T.
        The paper does not say how; sinusoids and two layers are usual in diffusion models.
    """

    def __init__(self, features: int = 64) -> None:
        super().__init__()
        if features < 2 or features % 2:
            raise ValueError(f"features must be a positive even number, got {features}")
        exponents = torch.linspace(math.log(_SLOWEST), math.log(_FASTEST), features // 2)
        # Plain numbers: TorchScript would store a buffer among the weights.
        self.frequencies = exponents.exp().tolist()
        self.layers = nn.Sequential(
            nn.Linear(features, features), nn.SiLU(), nn.Linear(features, features), nn.SiLU()
        )

    def forward(self, position: Tensor) -> Tensor:
        """Embed a batch of positions."""
        # Of a network in half precision, too.
        weights: Tensor = self.layers[0].weight  # type: ignore[assignment]
        frequencies = torch.tensor(self.frequencies, device=weights.device, dtype=weights.dtype)
        features: Tensor = self.layers(sinusoids(position.to(weights), frequencies))
        return features
