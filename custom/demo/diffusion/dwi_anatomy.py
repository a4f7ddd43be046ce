"""A head-like object with a known diffusion tensor in every voxel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from custom.demo.random_field import RandomField
from custom.physics.diffusion.priors import BoxPrior

__all__ = ["Phantom", "make_phantom"]

Array: TypeAlias = NDArray[np.float64]

_WATER = np.array([2.9, 2.9, 2.9, 0.0, 0.0, 0.0])  # µm²/ms, of the ventricles
_WATER_S0 = 1250.0
_TISSUE_S0 = (500.0, 1000.0)  # of the cells
_RIBBON_GAIN = 1.2  # of S0 at the head's rim
_BIAS = 0.15  # largest logarithm of the receive field
_CELL_MM, _SMOOTH_MM = 7.0, 20.0  # softness of the borders, reach of the slow change
_SMOOTH_SHARE = 0.15
_EDGE_MM = 4.0  # of ventricles and ribbon


@dataclass(frozen=True)
class Phantom:
    """Tensor, unweighted signal and mask of the object; all are 0 outside the head."""

    tensor: NDArray[np.float32]  # ``(X, Y, Z, 6)`` in µm²/ms: xx, yy, zz, xy, xz, yz
    s0: NDArray[np.float32]  # ``(X, Y, Z)``, signal without weighting, in scanner units
    mask: NDArray[np.uint8]  # ``(X, Y, Z)``, 1 in the head


def make_phantom(
    shape: tuple[int, int, int],
    voxel_mm: float,
    cells: int,
    b_rows: Tensor,
    seed: np.random.SeedSequence,
) -> Phantom:
    """Make an ellipsoidal head of cells, two ventricles and a rim.

    Each cell has a tensor of :class:`BoxPrior`, mixed at the borders with its neighbours' and
    everywhere with those of wide, overlapping regions; the rim has only the latter, and the
    ventricles hold free water. The prior's support is convex, and so it contains every mixture.

    Args:
        shape: Voxels along each axis.
        voxel_mm: Their length.
        cells: Number of cells.
        b_rows: ``(M, 6)`` of the protocol, on which the prior's support depends.
        seed: Random seed.
    """
    anatomy, bias, draws = seed.spawn(3)
    rng = np.random.default_rng(anatomy)
    half = np.array(shape) * voxel_mm / 2
    axes = [(np.arange(n) + 0.5) * voxel_mm - end for n, end in zip(shape, half, strict=True)]
    place = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    radii = half * rng.uniform(0.78, 0.86, 3)
    centres = _inside_ball(rng, cells) * radii

    generator = torch.Generator().manual_seed(int(draws.generate_state(1)[0]))
    drawn = BoxPrior().draw(2 * cells, b_rows, generator).tensor
    assert drawn is not None  # noqa: S101 - a prior of tensors gives them
    tensors = drawn.double().numpy()
    near, wide = _shares(place, centres, _CELL_MM), _shares(place, centres, _SMOOTH_MM)
    depth = np.linalg.norm(place / radii, axis=-1)
    rim = _step((depth - 0.85) * radii.min())
    water = _ventricles(place, radii)

    smooth = (_SMOOTH_SHARE + (1 - _SMOOTH_SHARE) * rim)[..., None]
    tissue = smooth * (wide @ tensors[cells:]) + (1 - smooth) * (near @ tensors[:cells])
    tensor = tissue + water[..., None] * (_WATER - tissue)
    s0 = (near @ rng.uniform(*_TISSUE_S0, cells)) * (1 + (_RIBBON_GAIN - 1) * rim)
    s0 += water * (_WATER_S0 - s0)
    field = RandomField(np.random.default_rng(bias), [max(half)] * 3, (4, 4, 4))(axes, "xyz")
    s0 *= np.exp(_BIAS * np.tanh(field))
    head = depth <= 1
    return Phantom(
        (tensor * head[..., None]).astype(np.float32),
        (s0 * head).astype(np.float32),
        head.astype(np.uint8),
    )


def _inside_ball(rng: np.random.Generator, count: int) -> Array:
    """Return points uniform in the unit ball, ``(count, 3)``."""
    points = rng.standard_normal((count, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    # The third root: radii uniform in 0 to 1 would crowd the middle.
    return points * rng.uniform(size=(count, 1)) ** (1 / 3)


def _shares(place: Array, centres: Array, reach_mm: float) -> Array:
    """Return the share of each centre at each position: Gaussian weights that add up to 1."""
    distance = np.stack([((place - centre) ** 2).sum(-1) for centre in centres], -1)
    # Relative to the nearest: far from every centre all weights would underflow to 0.
    nearest = distance.min(-1, keepdims=True)
    weights = np.exp((nearest - distance) / (2 * reach_mm**2))
    return np.asarray(weights / weights.sum(-1, keepdims=True))


def _ventricles(place: Array, radii: Array) -> Array:
    """Return the share of free water: two long ellipsoids beside the midline."""
    water = np.zeros(place.shape[:-1])
    for side in (-1, 1):
        centre, size = np.array([side * 0.2, 0.0, 0.1]) * radii, np.array([0.13, 0.4, 0.25]) * radii
        outside = np.linalg.norm((place - centre) / size, axis=-1) - 1
        water = np.maximum(water, 1 - _step(outside * size.min()))
    return water


def _step(distance_mm: Array) -> Array:
    """Return a soft step from 0 to 1 at distance 0."""
    return np.asarray((1 + np.tanh(2 * distance_mm / _EDGE_MM)) / 2)
