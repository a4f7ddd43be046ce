"""Gradient tables of stated schemes: the published one, and one of two shells."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from custom.physics.diffusion.gradient_table import GradientTable

__all__ = ["published_scheme", "spread_directions", "two_shell_scheme"]

_STEPS, _ROUNDS = 4000, 5


def spread_directions(count: int, seed: int = 0) -> NDArray[np.float64]:
    """Spread directions over the half sphere by electrostatic repulsion.

    Charges repel each other and their opposites. Runs until the last half of the steps has lowered
    the energy by no more than a thousandth: sometimes two charges stay close together for thousands
    of steps.

    Args:
        count: Number of directions.
        seed: Seed of the random start.

    Shape:
        ``(count, 3)`` unit vectors.

    Source:
        D. K. Jones, M. A. Horsfield, A. Simmons, Magnetic Resonance in Medicine 42 (1999), 515-525.
    """
    from dipy.core.sphere import HemiSphere, disperse_charges

    start = np.random.default_rng(seed).normal(size=(count, 3))
    start /= np.linalg.norm(start, axis=1, keepdims=True)
    sphere = HemiSphere(xyz=start)
    for _ in range(_ROUNDS):
        sphere, energy = disperse_charges(sphere, _STEPS)
        if energy[_STEPS // 2] <= 1.001 * energy[-1]:
            break
    return np.asarray(sphere.vertices, dtype=float)


def published_scheme(seed: int = 0) -> GradientTable:
    """Return the paper's 32 measurements: b = 50, thirty directions of b = 1000, b = 50.

    The paper does not print its directions; ours are spread evenly, and the two of b = 50 are the
    first and the last of them.

    Source:
        docs/methods/dwi_vae.md, "Simulation".
    """
    directions = spread_directions(30, seed)
    bvals = np.array([50.0, *[1000.0] * 30, 50.0])
    return GradientTable(bvals, np.concatenate([directions[:1], directions, directions[-1:]]))


def two_shell_scheme(seed: int = 0) -> GradientTable:
    """Return 128 measurements: 8 of b = 50, 60 of b = 1000, 60 of b = 2000 s/mm².

    Source:
        docs/methods/dwi_vae.md, "Asked for by the paper": 128 measurements, without a scheme.
    """
    inner, outer = spread_directions(60, seed), spread_directions(60, seed + 1)
    bvals = np.repeat([50.0, 1000.0, 2000.0], [8, 60, 60])
    return GradientTable(bvals, np.concatenate([inner[:8], inner, outer]))
