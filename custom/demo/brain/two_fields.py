"""One synthetic brain, scanned at 3 T and at 7 T."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from custom.demo.brain.brain_anatomy import BrainGrid, Person
from custom.demo.brain.brain_template import brain_template
from custom.demo.shapes import ellipse_distance
from custom.physics.brain_range import brain_range
from custom.physics.mprage import MPRAGE_3T, MPRAGE_7T, PROTON_DENSITY, T1_SECONDS

__all__ = ["LABELS", "TwoFields", "scan_at_two_fields"]

Array = NDArray[np.float32]

_COARSER = 1.0 / 0.65  # voxels of the 3 T scan over those of the 7 T scan
_MARGIN = 8  # slices at both ends that are made, and cut off: a Fourier transform is periodic

LABELS = {
    "csf": 1,
    "grey": 2,
    "white": 3,
    "thalamus": 4,
    "putamen": 5,
    "caudate": 6,
    "hippocampus": 7,
}
"""Numbers of the tissues in a segmentation."""

# Centres beside the middle and half axes in the space of the template, in millimetres.
_DEEP = {
    "thalamus": ((11.0, -18.0, 8.0), (8.0, 14.0, 9.0)),
    "putamen": ((25.0, 3.0, 0.0), (6.0, 15.0, 10.0)),
    "caudate": ((13.0, 12.0, 11.0), (5.0, 11.0, 9.0)),
    "hippocampus": ((27.0, -21.0, -14.0), (6.0, 16.0, 7.0)),
}
# Where air near the base of the skull takes signal at 7 T, and the radius.
_DROPOUT = (((0.0, 35.0, -22.0), 20.0), ((48.0, -18.0, -28.0), 22.0), ((-48.0, -18.0, -28.0), 22.0))
_NOISE = (0.025, 0.022)  # deviation of a channel at 3 T and 7 T, in bright tissue
_CONTRAST = 0.03  # deviation of T1 between people, by tissue and field
_LEFT_BIAS = 0.03  # deviation of what bias correction leaves, of the logarithm


@dataclass(frozen=True)
class TwoFields:
    """The two scans, on the grid of the 7 T scan unless said otherwise.

    Attributes:
        low: 3 T on its own grid, in scanner units, 0 outside the brain.
        low_affine: Of that grid.
        image: 3 T resampled, by its brain's range, 0 outside the brain.
        label: 7 T likewise.
        mask: The brain.
        segmentation: Tissues, see :data:`LABELS`.
    """

    low: Array
    low_affine: NDArray[np.float64]
    image: Array
    label: Array
    mask: NDArray[np.uint8]
    segmentation: NDArray[np.uint8]


def scan_at_two_fields(
    grid: BrainGrid, seed: np.random.SeedSequence, age: float, displaced_mm: float
) -> TwoFields:
    """Scan one person at both fields.

    Both scans show the same tissues and the same texture of T1. Vessels are bright at 7 T, the
    transmitted field makes its middle bright, and the base of the skull takes signal there. The
    3 T scan is acquired by its own k-space; noise is Rician on the acquired grids.

    Args:
        grid: Of the 7 T scan; its third axis gets a margin while it is made.
        seed: Of the person.
        age: In years; the spaces around the brain grow with it.
        displaced_mm: Deviation of each component of the displacement that registration leaves, of
            which a part is smooth and the rest a shift.

    Source:
        docs/methods/brain_3t7t_sr.md, "Simulated pairs".
    """
    shape = (*grid.shape[:2], grid.shape[2] + 2 * _MARGIN)
    person = Person(
        BrainGrid(shape, grid.voxel_mm, grid.tilt_deg, grid.height_mm), np.random.default_rng(seed)
    )
    points = person.template_points()
    shares = _tissues(person, points, age)
    inside: Array = np.sum(list(shares.values()), axis=0)
    vessels = person.vessels() * (inside > 0.05)
    texture = 0.6 * person.field(1.5) + 0.6 * person.field(4) + 0.5 * person.field(9)
    low_field, high_field = (
        _signal(person, field, points, shares, vessels, texture) for field in (0, 1)
    )
    low, step = _acquire(person, low_field)
    resampled = _resample(person, low, shape, step, displaced_mm)
    high = _noisy(person, high_field, _NOISE[1])
    kept = (slice(None), slice(None), slice(_MARGIN, -_MARGIN))
    mask = inside[kept] > 0.5
    names = np.array([LABELS[name] for name in shares], np.uint8)
    tissue = names[np.argmax(np.stack([share[kept] for share in shares.values()]), axis=0)]
    affine = person.grid.affine.copy()
    affine[:3, :3] *= np.array(step)
    return TwoFields(
        low=low * np.float32(person.rng.uniform(500, 1200)) * _nearest(inside > 0.5, low.shape),
        low_affine=affine,
        image=_normalised(resampled[kept], mask),
        label=_normalised(high[kept], mask),
        mask=mask.astype(np.uint8),
        segmentation=np.where(mask, tissue, 0).astype(np.uint8),
    )


def _tissues(person: Person, points: Array, age: float) -> dict[str, Array]:
    """Return the share of each tissue in each voxel; they sum to the share of the brain."""
    shares = person.fold(*brain_template().sample(points))
    inside = sum(shares.values())
    shares["csf"] = shares["csf"] * np.float32(np.exp((age - 50) / 30))
    total = sum(shares.values()) + np.float32(1e-9)
    shares = {name: share * inside / total for name, share in shares.items()}
    x, y, z = np.abs(points[0]), points[1], points[2]
    for name, (centre, axes) in _DEEP.items():
        distance = ellipse_distance(
            *(
                (place - np.float32(at), axis)
                for place, at, axis in zip((x, y, z), centre, axes, strict=True)
            )
        )
        # Its border runs through voxels, and wherever CSF was, it stays.
        deep = np.clip(0.5 - distance / np.float32(1.2), 0, 1) * (inside - shares["csf"])
        rest = 1 - deep / np.maximum(inside - shares["csf"], np.float32(1e-6))
        shares = {
            other: share if other == "csf" else share * rest for other, share in shares.items()
        } | {name: deep}
    return shares


def _signal(
    person: Person,
    field: int,
    points: Array,
    shares: dict[str, Array],
    vessels: Array,
    texture: Array,
) -> Array:
    """Return the noiseless signal of a scan at one field, with white matter near 1."""
    scan = (MPRAGE_3T, MPRAGE_7T)[field]
    middle = brain_template().middle_mm.astype(np.float32)
    away = (points - middle.reshape(3, 1, 1, 1)) / np.array([75, 95, 75], np.float32).reshape(
        3, 1, 1, 1
    )
    radius = np.square(away).sum(0)
    b1 = (1.02 - 0.08 * radius) if field == 0 else np.maximum(1.12 - 0.4 * radius, 0.5)
    image = np.zeros_like(texture)
    for name, share in shares.items():
        amount = 0.02 if name == "csf" else 0.045
        t1 = T1_SECONDS[name][field] * (1 + _CONTRAST * person.rng.standard_normal())
        times = np.float32(t1) * (1 + np.float32(amount) * texture)
        image += share * scan.signal(times, PROTON_DENSITY[name], b1).astype(np.float32)
    image /= scan.signal(T1_SECONDS["white"][field], PROTON_DENSITY["white"])
    bright = (0.8, 1.7)[field] * (1 - shares["white"]) + 0.5 * shares["white"]
    image += vessels * (bright - image) * (0.5, 1.0)[field]
    if field == 1:
        for centre, reach in _DROPOUT:
            distance = np.square(points - np.array(centre, np.float32).reshape(3, 1, 1, 1)).sum(0)
            image *= 1 - 0.6 * np.exp(-distance / np.float32(2 * (reach / 2) ** 2))
    image *= sum(shares.values())
    return np.asarray(image * np.exp(np.float32(_LEFT_BIAS) * person.field(60)), np.float32)


def _acquire(person: Person, image: Array) -> tuple[Array, list[float]]:
    """Return an image by the k-space of coarser voxels, with noise, and their size in its voxels.

    The first voxels of both grids have one centre.
    """
    shape = [max(4, round(n / _COARSER)) for n in image.shape]
    spectrum = np.fft.fftshift(np.fft.fftn(image))
    centre = tuple(
        slice(n // 2 - low // 2, n // 2 - low // 2 + low)
        for n, low in zip(image.shape, shape, strict=True)
    )
    low = np.fft.ifftn(np.fft.ifftshift(spectrum[centre])) * (np.prod(shape) / image.size)
    step = [n / low for n, low in zip(image.shape, shape, strict=True)]
    return _noisy(person, low, _NOISE[0]), step


def _nearest(mask: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return a mask on a coarser grid."""
    index = [
        np.minimum(np.rint(np.arange(low) * n / low).astype(int), n - 1)
        for n, low in zip(mask.shape, shape, strict=True)
    ]
    return np.asarray(mask[np.ix_(*index)])


def _noisy(person: Person, image: NDArray[Any], sigma: float) -> Array:
    """Return the magnitude of an image with complex noise."""
    noise = person.rng.standard_normal((2, *image.shape), dtype=np.float32) * np.float32(sigma)
    return np.asarray(np.abs(image + noise[0] + 1j * noise[1]), np.float32)


def _resample(
    person: Person, low: Array, shape: tuple[int, ...], step: list[float], displaced_mm: float
) -> Array:
    """Return a coarse scan on the fine grid, by cubic splines, displaced by what is left."""
    places = np.meshgrid(
        *(np.arange(n, dtype=np.float32) / at for n, at in zip(shape, step, strict=True)),
        indexing="ij",
    )
    coordinates = []
    for place, at in zip(places, step, strict=True):
        voxel = person.grid.voxel_mm * at
        offset = 0.6 * person.field(25) + np.float32(0.8 * person.rng.standard_normal())
        coordinates.append(place + np.float32(displaced_mm / voxel) * offset)
    return np.asarray(
        ndimage.map_coordinates(low, np.stack(coordinates), order=3, mode="grid-wrap")
    )


def _normalised(image: Array, mask: NDArray[np.bool_]) -> Array:
    """Return an image by the range of its brain, 0 outside."""
    low, high = brain_range(torch.from_numpy(np.ascontiguousarray(image)), torch.from_numpy(mask))
    return np.asarray((image - low) / (high - low) * mask, np.float32)
