"""Checks of the noise levels that a diffusion series is restored with."""

from __future__ import annotations

import logging

from torch import Tensor

from custom.errors import InputError
from custom.physics.diffusion.noise import LevelDistribution

__all__ = ["check_noise_levels", "check_one_noise_level"]

logger = logging.getLogger(__name__)


def check_one_noise_level(sigma: object, relative_sigma: object) -> None:
    """Refuse a noise level that is given in both units.

    Raises:
        ValueError: If both are given.
    """
    if sigma is not None and relative_sigma is not None:
        raise ValueError(
            "give --sigma (unit of the image) or --relative_sigma (share of S0), not both"
        )


def check_noise_levels(
    name: str, sigma: Tensor, levels: LevelDistribution, remedy: str = ""
) -> int:
    """Count the voxels whose noise is beyond the trained levels: some are a warning, most a fault.

    No noise is within them: all our trainings include signals without noise.

    Args:
        name: Name of the scan, for the warning.
        sigma: Noise levels of the voxels to restore, in the unit of their scaled signals.
        levels: Noise levels of the training.
        remedy: What the user can do if it is most.

    Shape:
        ``sigma``: any.

    Raises:
        InputError: If it is more than half of the voxels.
    """
    lowest, highest = levels.bounds
    above = int((sigma > highest).sum())
    below = int(((sigma > 0) & (sigma < lowest)).sum())
    found = (
        f"the noise of {above + below} of {sigma.numel()} voxels is beyond what the model "
        f"was trained on ({lowest:g} to {highest:g} of S0): {above} above, {below} below"
    )
    if 2 * (above + below) > sigma.numel():
        raise InputError(f"{found}, median {float(sigma.median()):.3g}: {remedy}")
    if above or below:
        logger.warning(
            "%s: %s; there the network extrapolates, so do not trust the restored values (few "
            "above: background at the mask's rim)",
            name,
            found,
        )
    return above + below
