"""Compare the noise of a scan with the noise levels of a model's training."""

from __future__ import annotations

import logging

from torch import Tensor

from custom.physics.diffusion.noise import LevelDistribution

__all__ = ["warn_of_untrained_noise"]

logger = logging.getLogger(__name__)


def warn_of_untrained_noise(name: str, sigma: Tensor, levels: LevelDistribution) -> int:
    """Count the voxels whose noise is beyond the trained levels; if there are some, log a warning.

    No noise is within them: all our trainings include signals without noise.

    Args:
        name: Name of the scan, for the warning.
        sigma: Noise levels of the voxels to restore, in the unit of their scaled signals.
        levels: Noise levels of the training.

    Shape:
        ``sigma``: any.
    """
    lowest, highest = levels.bounds
    above = int((sigma > highest).sum())
    below = int(((sigma > 0) & (sigma < lowest)).sum())
    if above or below:
        logger.warning(
            "%s: the noise of %d of %d voxels is beyond what the model was trained on (%g to %g of "
            "S0): %d above, %d below; there the network extrapolates, so trust neither the "
            "restored values nor their uncertainty (few above: background at the mask's rim; most "
            "of them: check sigma and s0)",
            name,
            above + below,
            sigma.numel(),
            lowest,
            highest,
            above,
            below,
        )
    return above + below
