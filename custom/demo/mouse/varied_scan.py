"""Scans of mice with other contrasts, voxels, noise and parts of the body, for training alone.

A network that has seen one sequence on whole animals takes a brain that was cut out, or grey matter
darker than white, for what it knows. So contrast is drawn (echo and repetition times, and in some
scans the density of every tissue), as are the voxels, the thickness and the noise; half of the
scans are of the brain, most of these with the rest cut away. The reference has no noise, and the
fast scan a share of what a fast scan has: training adds what it wants.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from custom.demo.mouse.mouse_anatomy import Mouse
from custom.demo.mouse.mouse_scan import PLANES
from custom.demo.rare_signal import TISSUES, Tissue, vary_tissues
from custom.physics.kspace_acquisition import Acquisition, acquire, reconstruct

__all__ = ["NOISE_SHARE", "VariedScan", "varied_scan"]

NOISE_SHARE = 0.3  # noise of the stored fast scan over that of a fast scan
_ECHO_TIMES = (0.25, 0.6, 1.0, 1.6)  # over that of the paper
_REPETITION_TIMES = (0.15, 0.4, 1.0)
_VOXEL_MM = (0.1, 0.2)  # of the reference
_SNR = (8.0, 40.0)  # of the fast scan, in its median tissue
_GAIN = 40000.0
_OVERSAMPLING = 1.25
_BRAIN = (
    *("cerebrospinal fluid", "grey matter", "deep grey matter", "hippocampus"),
    *("white matter", "slow blood", "flowing blood"),
)
_MIXED = 255  # code of a voxel in which tissues meet


@dataclass(frozen=True)
class VariedScan:
    """A fast scan and its reference, with the deviation of a channel's noise in the fast scan."""

    image: NDArray[np.float32]  # ``(X, Y, S)``
    label: NDArray[np.float32]  # ``(2X, 2Y, S)``
    voxel_mm: float  # of the reference, in the plane
    step_mm: float
    plane: str
    region: str
    noise_std: float  # in the units of the image
    nominal_noise_std: float


def varied_scan(seed: np.random.SeedSequence, fast_matrix: int, num_slices: int) -> VariedScan:
    """Scan an animal of its own.

    Args:
        seed: Number of the animal and of everything that is drawn.
        fast_matrix: Voxels of the fast scan along both axes.
        num_slices: Slices of the stack.
    """
    animal, drawn = seed.spawn(2)
    rng = np.random.default_rng(drawn)
    mouse = Mouse(animal)
    mouse.tissues = _contrast(rng)
    brain = bool(rng.uniform() < 0.5)
    cut = brain and rng.uniform() < 0.7
    plane = PLANES[int(rng.integers(3))]
    voxel = float(rng.uniform(*_VOXEL_MM))
    thickness = float(rng.choice([voxel, 0.3, 0.6]))
    matrix = 2 * fast_matrix
    samples = round(_OVERSAMPLING * matrix)
    shares = (np.arange(samples) + 0.5) / samples - 0.5
    points = (shares * voxel * matrix).astype(np.float32)
    signals, masks = [], []
    for normal in _normals(rng, plane, brain, num_slices):
        middle = 31.0 if brain else float(rng.uniform(-25, 40))
        second = points + np.float32(0.0 if plane == "axial" else middle)
        thick = mouse.slice(plane, points, second, normal, thickness)
        signals.append(np.abs(thick.signal) if cut else thick.signal)
        masks.append(_brain_mask(thick.codes, matrix) if cut else np.ones((matrix, matrix), bool))
    signal, mask = _GAIN * np.stack(signals, axis=-1), np.stack(masks, axis=-1)
    label = np.abs(reconstruct(signal, (matrix, matrix))).astype(np.float32) * mask
    fast = Acquisition((fast_matrix, fast_matrix))
    bright = label[label > 0.15 * np.percentile(label, 95)]
    nominal = float(np.median(bright) / np.exp(rng.uniform(*np.log(_SNR))))
    image = acquire(signal, fast, NOISE_SHARE * nominal / fast.noise_gain, rng)
    image *= mask.reshape(fast_matrix, 2, fast_matrix, 2, -1).any(axis=(1, 3))
    return VariedScan(
        np.asarray(image, np.float32),
        label,
        voxel,
        thickness,
        plane,
        "brain" if brain else "body",
        NOISE_SHARE * nominal,
        nominal,
    )


def _contrast(rng: np.random.Generator) -> dict[str, Tissue]:
    """Return tissues as another sequence shows them.

    With TE and TR of the paper, T2 over an echo time relative to that of the paper gives the signal
    of that echo time; so do T1 and the repetition time.
    """
    echo, repetition = rng.choice(_ECHO_TIMES), rng.choice(_REPETITION_TIMES)
    any_density = rng.uniform() < 0.3
    found = {}
    for name, tissue in vary_tissues(rng, 0.1).items():
        draw = float(rng.uniform(0.1, 0.95))
        density = draw if any_density and tissue.proton_density > 0.1 else tissue.proton_density
        # Bounded by Slab, which wants positive densities.
        texture = min(0.38, tissue.texture * float(rng.uniform(0.5, 2)))
        found[name] = replace(
            tissue,
            t1_ms=tissue.t1_ms / float(repetition),
            t2_ms=tissue.t2_ms / float(echo),
            proton_density=density,
            texture=texture,
        )
    return found


def _normals(rng: np.random.Generator, plane: str, brain: bool, count: int) -> list[float]:
    """Return the place of every slice along the normal, in millimetres."""
    low, high = (26.0, 36.0) if brain else (-25.0, 40.0)
    if plane != "axial":
        low, high = (-3.0, 1.5) if plane == "coronal" else (-3.5, 3.5)
    return sorted(rng.uniform(low, high, count).tolist())


def _brain_mask(codes: NDArray[np.uint8], matrix: int) -> NDArray[np.bool_]:
    """Return the largest piece of the brain, as a program cuts it out, on the reference's grid."""
    tissue = np.isin(codes, [TISSUES[name].code for name in _BRAIN]) | (codes == _MIXED)
    opened = ndimage.binary_opening(tissue, iterations=4)
    pieces, count = ndimage.label(opened)
    if not count:
        return np.zeros((matrix, matrix), bool)
    sizes = ndimage.sum_labels(opened, pieces, np.arange(1, count + 1))
    mask = ndimage.binary_fill_holes(pieces == 1 + int(np.argmax(sizes)))
    nearest = np.floor((np.arange(matrix) + 0.5) * len(codes) / matrix).astype(int)
    return np.asarray(mask[np.ix_(nearest, nearest)])
