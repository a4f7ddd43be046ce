"""Noise profiles: the share of each step in the noise of a path from clean to noisy."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from custom.setting_checks import check_choice, check_whole

__all__ = ["NOISE_PROFILES", "noise_profile"]


NOISE_PROFILES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "parabola": lambda u: 4 * u * (1 - u),  # the source's choice
    # Written so that it is 0 and not 1e-16 at u = 1.
    "sine": lambda u: torch.sin(math.pi * torch.minimum(u, 1 - u)),
    # Starts and ends without a slope.
    "cosine_bell": lambda u: torch.sin(math.pi * torch.minimum(u, 1 - u)).square(),
    "triangle": lambda u: 1 - (2 * u - 1).abs(),
    # The variance grows as the path does, and the last step still adds noise.
    "constant": torch.ones_like,
}
"""Profiles by name, each a function of the position ``u = t / T`` with a maximum of 1."""


def noise_profile(name: str, num_steps: int) -> Tensor:
    r"""Return the noise profile :math:`f(t / T)` at ``t = 0..T``.

    Args:
        name: ``parabola`` (the source's), ``sine``, ``cosine_bell``, ``triangle`` or ``constant``.
        num_steps: ``T``, at least 2.

    Returns:
        ``(T + 1,)``, float64. The entry of ``t = 0`` belongs to no step of the chain.

    Raises:
        ValueError: If the name is unknown or ``num_steps < 2``.

    Source:
        docs/methods/micro_mri_denoise.md, "Anchored path diffusion"; Conejo Rupp et al. 2025,
        equation (20), which calls for other choices.

    Example:
        >>> noise_profile("parabola", 4)
        tensor([0.0000, 0.7500, 1.0000, 0.7500, 0.0000], dtype=torch.float64)
    """
    check_choice("noise_profile", name, NOISE_PROFILES)
    check_whole("num_steps", num_steps, 2)
    position = torch.arange(num_steps + 1, dtype=torch.float64) / num_steps
    return NOISE_PROFILES[name](position)
