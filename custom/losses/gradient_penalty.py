"""A bound on the slope of a critic, for the Wasserstein distance."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["GradientPenalty"]


class GradientPenalty(nn.Module):
    r"""Hold the slope of a critic at 1 between real and generated volumes.

    .. math:: \lambda\, \overline{(\lVert \nabla_z C(z) \rVert_2 - g)^2}, \qquad
        z = u x + (1 - u) y

    with one :math:`u`, uniform in 0..1, for each pair of a real volume :math:`x` and a generated
    one :math:`y`. The norm is that of a whole volume, over channels and voxels. Of a map of scores
    the mean is the critic's answer. Computed in float32 at least, since a squared norm over a
    volume overflows in half precision.

    The critic must treat the volumes of a batch independently: with batch normalisation the
    gradient of one volume would be that of others too.

    Args:
        weight: :math:`\lambda`.
        target: :math:`g`, the slope wanted: 1 in WGAN-GP. With it the players circle about the
            equilibrium within a bound; with 0 they converge to it (Mescheder et al. 2018).

    Shape:
        Both volumes: ``(B, C, *spatial)``; penalty: scalar.

    Raises:
        ValueError: If ``weight`` is not positive or ``target`` is negative.

    Source:
        I. Gulrajani et al., "Improved training of Wasserstein GANs", 2017, algorithm 1;
        L. Mescheder, A. Geiger, S. Nowozin, "Which training methods for GANs do actually
        converge?", 2018.
    """

    def __init__(self, weight: float = 10.0, target: float = 1.0) -> None:
        super().__init__()
        if not weight > 0:
            raise ValueError(f"weight must be positive, got {weight}")
        if not target >= 0:
            raise ValueError(f"target must be 0 or more, got {target}")
        self.weight, self.target = weight, target

    def forward(self, critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
        """Return the penalty of a critic between real and generated volumes."""
        # On the CPU, so that a seed means the same on every device.
        shares = torch.rand(len(real), *[1] * (real.ndim - 1))
        half = real.dtype in (torch.float16, torch.bfloat16)
        # Detached: the penalty is the critic's alone, and trains no generator.
        real, fake = (x.detach().float() if half else x.detach() for x in (real, fake))
        shares = shares.to(real)
        between = (shares * real + (1 - shares) * fake).requires_grad_()
        with torch.enable_grad(), torch.autocast(real.device.type, enabled=False):
            scores = critic(between).reshape(len(between), -1).mean(1)
            # create_graph: the slope is differentiated once more, by the critic's weights.
            (slope,) = torch.autograd.grad(scores.sum(), between, create_graph=True)
        penalty: Tensor = self.weight * (slope.flatten(1).norm(dim=1) - self.target).square().mean()
        return penalty
