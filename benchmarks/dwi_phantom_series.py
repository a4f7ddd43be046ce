"""Diffusion series with a known truth: bundles of fibres that cross, in a head of tensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.dwi_methods import correlated_noise
from benchmarks.real_dwi_measures import Array
from custom.demo.diffusion.dwi_anatomy import make_phantom
from custom.physics.diffusion.gradient_table import GradientTable
from custom.physics.diffusion.tensor import tensor_signal

SHAPE, VOXEL_MM, CELLS = (40, 40, 20), 4.0, 40
S0 = 700.0  # of the bundles
CORRELATION = (0.5, 0.25, 0.25)  # of the noise of neighbours along x, y and z
SHIFT = 0.25  # voxels: the most that a volume is moved along each axis
_ALONG, _ACROSS = 1.7, 0.3  # diffusivities of a fibre in µm²/ms: an anisotropy of 0.80
_TURN = np.deg2rad(20.0)  # of the bundles against the axes, so that no edge lies along voxels
_SWING, _WAVE = np.deg2rad(15.0), 12.0  # of directions along a bundle; its length in voxels
_AWAY, _HALVES, _HIGH = 8.0, (3.0, 1.0), 4.0  # voxels: middles, half widths (one thick bundle, one
# thin along each direction) and half height of the bundles


@dataclass(frozen=True)
class Condition:
    """How a series is measured.

    Attributes:
        level: Deviation of the noise in both channels, as a share of the bundles' S0.
        correlated: Whether the noise of neighbours is alike; else it is white.
        moved: Whether each volume is shifted by a part of a voxel.
    """

    level: float
    correlated: bool = False
    moved: bool = False

    @property
    def title(self) -> str:
        """Name in tables."""
        words = ["correlated" if self.correlated else "white", "volumes shifted"]
        return f"{100 * self.level:g} %, {', '.join(words[: 1 + self.moved])}"


@dataclass(frozen=True)
class PhantomSeries:
    """A measured series and its truth.

    Attributes:
        noisy: Magnitudes, ``(X, Y, Z, M)``.
        clean: The same without noise, volumes shifted alike.
        regions: Masks of ``head``, ``fibres`` (one direction) and ``crossing`` (two, at 90
            degrees).
    """

    noisy: Array
    clean: Array
    regions: dict[str, NDArray[np.bool_]]


def make_clean(table: GradientTable) -> tuple[Array, dict[str, NDArray[np.bool_]]]:
    """Return the series without noise, and the masks of its regions.

    In the head of the demonstration set lie four straight bundles with sharp edges, two along each
    of two perpendicular directions, a thick and a thin one. Their fibres swing in the plane. Where
    they cross, at 90 degrees everywhere, half of a voxel is of each.
    """
    head = make_phantom(SHAPE, VOXEL_MM, CELLS, table.b_rows, np.random.SeedSequence(7))
    signals = tensor_signal(torch.from_numpy(head.tensor), table.b_rows)
    clean = (torch.from_numpy(head.s0)[..., None] * signals).numpy()
    x, y, z = (np.indices(SHAPE).T - (np.array(SHAPE) - 1) / 2).T
    places = np.cos(_TURN) * x + np.sin(_TURN) * y, np.cos(_TURN) * y - np.sin(_TURN) * x
    inside = head.mask > 0
    angle = _TURN + _SWING * np.sin(2 * np.pi * places[0] / _WAVE) * np.cos(places[1] / _WAVE)
    bundles, of_fibres = [], []
    for across, direction in zip(places[::-1], (angle, angle + np.pi / 2), strict=True):
        near = [
            abs(across - side * _AWAY) <= half for side, half in zip((-1, 1), _HALVES, strict=True)
        ]
        bundles.append(inside & (abs(z) <= _HIGH) & (near[0] | near[1]))
        of_fibres.append(tensor_signal(_fibres(direction), table.b_rows).numpy())
    share = np.stack(bundles, -1) / np.maximum(bundles[0] + 1 * bundles[1], 1)[..., None]
    mixed = S0 * sum(share[..., k, None] * of_fibres[k] for k in (0, 1))
    anywhere, crossing = bundles[0] | bundles[1], bundles[0] & bundles[1]
    clean = np.where(anywhere[..., None], mixed, clean).astype(np.float32)
    core = ndimage.binary_erosion(inside, np.ones((3, 3, 1)))
    regions = {"head": core, "fibres": core & anywhere & ~crossing, "crossing": core & crossing}
    return clean, regions


def measure(
    clean: Array, regions: dict[str, NDArray[np.bool_]], condition: Condition, seed: int = 0
) -> PhantomSeries:
    """Shift volumes and add Rician noise."""
    rng = np.random.default_rng(seed)
    if condition.moved:
        # Linear: no ringing at sharp edges.
        volumes = [
            ndimage.shift(volume, rng.uniform(-SHIFT, SHIFT, 3), order=1, mode="nearest")
            for volume in np.moveaxis(clean, -1, 0)
        ]
        clean = np.stack(volumes, -1)
    correlation = CORRELATION if condition.correlated else ()
    noise = correlated_noise(rng, (*clean.shape, 2), correlation) * (condition.level * S0)
    noisy = np.hypot(clean + noise[..., 0], noise[..., 1]).astype(np.float32)
    return PhantomSeries(noisy, clean, regions)


def _fibres(angle: NDArray[np.float64]) -> torch.Tensor:
    """Return tensors of fibres in the plane of x and y, ``(X, Y, Z, 6)``."""
    cos, sin, none = np.cos(angle), np.sin(angle), np.zeros_like(angle)
    elements = np.stack([cos**2, sin**2, none, cos * sin, none, none], -1)
    even = np.array([_ACROSS] * 3 + [0.0] * 3)
    return torch.from_numpy(even + (_ALONG - _ACROSS) * elements).float()
