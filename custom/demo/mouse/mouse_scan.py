"""Simulate the fast and the default scan of a demonstration animal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from custom.demo.mouse.mouse_anatomy import PLANE_AXES, Mouse, Plane
from custom.demo.mouse.roi import disc_masks
from custom.demo.rare_signal import TISSUES, rare_signal
from custom.physics.kspace_acquisition import (
    DEFAULT_SCAN,
    FAST_SCAN,
    Acquisition,
    acquire,
    sample_noise_std,
)

__all__ = ["FIELD_OF_VIEW_MM", "PLANES", "REGIONS", "Protocol", "Region", "ScanPair", "scan_pair"]

Region = Literal["head-thorax", "thorax-abdomen"]

# docs/methods/micro_mri_denoise.md, "Acquisition".
FIELD_OF_VIEW_MM = 30.0
SLICE_MM = 0.6
PLANES: tuple[Plane, ...] = ("axial", "coronal", "sagittal")
# Level (mm towards the head from the diaphragm) of the middle of each region.
REGIONS: dict[Region, float] = {"head-thorax": 25.0, "thorax-abdomen": -8.0}

# Organs whose contrast against muscle is measured, the best first.
_ORGANS: dict[Region, tuple[str, ...]] = {
    "head-thorax": ("grey matter", "deep grey matter", "gland", "myocardium", "fat"),
    "thorax-abdomen": ("liver", "kidney cortex", "spleen", "fat"),
}
# Middle and half extent (mm) of the slices along the normal, at the region's middle level.
_EXTENT: dict[Plane, tuple[float, float]] = {
    "axial": (0.0, 10.5),
    "coronal": (-0.2, 4.2),
    "sagittal": (0.0, 5.2),
}
_ROI_RADIUS_MM = 1.2


@dataclass(frozen=True)
class Protocol:
    """Acquisition of the pairs.

    Args:
        fast: The fast scan.
        default: The default scan, with twice the matrix.
        num_slices: Slices of a stack.
        gaps: Whether they are spread over the region; else they lie side by side in its middle.
        oversampling: Samples of the object per voxel of the default scan, along one axis.
        muscle_snr: SNR of the default scan in muscle, the only free parameter; 16 is our choice,
            not a measurement.
        gain: Intensity units per unit of signal.

    Raises:
        ValueError: If ``default`` is not twice as fine as ``fast``.
    """

    fast: Acquisition = FAST_SCAN
    default: Acquisition = DEFAULT_SCAN
    num_slices: int = 5
    gaps: bool = True
    oversampling: float = 1.25
    muscle_snr: float = 16.0
    gain: float = 40000.0

    def __post_init__(self) -> None:
        if self.default.matrix != (2 * self.fast.matrix[0], 2 * self.fast.matrix[1]):
            raise ValueError(f"default must be twice as fine as fast, got {self.default.matrix}")

    @property
    def sample_std(self) -> float:
        """Noise of one k-space sample, in signal units."""
        muscle = TISSUES["muscle"]
        signal = rare_signal(muscle.proton_density, muscle.t1_ms, muscle.t2_ms)
        return sample_noise_std(signal, self.muscle_snr, self.default)

    @property
    def fast_noise_std(self) -> float:
        """Noise of a channel of the fast scan, in intensity units."""
        return self.sample_std * self.fast.noise_gain * self.gain


@dataclass(frozen=True)
class ScanPair:
    """A fast and a default scan of the same slices.

    The affines are to RAS millimetres; images are in intensity units.
    """

    image: NDArray[np.float32]  # fast scan, ``(X, Y, S)``
    image_affine: NDArray[np.float64]
    label: NDArray[np.float32]  # default scan, ``(2X, 2Y, S)``
    label_affine: NDArray[np.float64]
    mask: NDArray[np.uint8]  # on the grid of ``label``: 1 in the organ, 2 in muscle
    organ: str


def scan_pair(
    mouse: Mouse, plane: Plane, region: Region, protocol: Protocol, seed: np.random.SeedSequence
) -> ScanPair:
    """Scan an animal twice; ``seed`` is that of the slice positions and of the noise."""
    rng = np.random.default_rng(seed)
    level = REGIONS[region] + rng.uniform(-1.5, 1.5)
    middle, half = _EXTENT[plane]
    middle += rng.uniform(-0.5, 0.5) + (level if plane == "axial" else 0.0)
    if not protocol.gaps:
        half = SLICE_MM / 2 * protocol.num_slices
    normals = middle + half * _spread(protocol.num_slices)
    size = round(protocol.default.matrix[0] * protocol.oversampling)
    points = _centres(size).astype(np.float32)
    second = points + np.float32(0.0 if plane == "axial" else level)
    image, label, codes = [], [], []
    for normal in normals:
        thick = mouse.slice(plane, points, second, float(normal), SLICE_MM)
        image.append(acquire(thick.signal, protocol.fast, protocol.sample_std, rng))
        label.append(acquire(thick.signal, protocol.default, protocol.sample_std, rng))
        codes.append(_resample_codes(thick.codes, protocol.default.matrix[0]))
    organ, mask = _regions(np.stack(codes, axis=-1), region)
    # Slices are spread with gaps: their distance is not their thickness.
    step = float(normals[1] - normals[0]) if len(normals) > 1 else SLICE_MM
    centre = (0.0, 0.0 if plane == "axial" else level, float(normals[0]))
    return ScanPair(
        np.stack(image, axis=-1) * np.float32(protocol.gain),
        _affine(plane, protocol.fast.matrix[0], centre, step),
        np.stack(label, axis=-1) * np.float32(protocol.gain),
        _affine(plane, protocol.default.matrix[0], centre, step),
        mask,
        organ,
    )


def _spread(count: int) -> NDArray[np.float64]:
    """Return ``count`` positions in the middles of equal parts of [-1, 1]."""
    return np.asarray((np.arange(count) + 0.5) / count * 2 - 1)


def _centres(size: int) -> NDArray[np.float64]:
    """Return the centres of ``size`` voxels over the field of view."""
    return FIELD_OF_VIEW_MM / 2 * _spread(size)


def _resample_codes(codes: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Return the codes at the centres of a coarser grid over the same box."""
    nearest = np.floor((np.arange(size) + 0.5) * len(codes) / size).astype(int)
    resampled: NDArray[np.uint8] = codes[np.ix_(nearest, nearest)]
    return resampled


def _regions(codes: NDArray[np.uint8], region: Region) -> tuple[str, NDArray[np.uint8]]:
    """Return the name of the organ to measure and the mask."""
    radius = _ROI_RADIUS_MM / FIELD_OF_VIEW_MM * len(codes)
    names = {TISSUES[name].code: name for name in TISSUES}
    code, mask = disc_masks(
        codes,
        [TISSUES[name].code for name in _ORGANS[region]],
        TISSUES["muscle"].code,
        radius,
        # A disc of 0.5 mm radius.
        min_pixels=round(np.pi * (0.5 / FIELD_OF_VIEW_MM * len(codes)) ** 2),
    )
    return names[code], mask


def _affine(
    plane: Plane, size: int, centre_mm: tuple[float, float, float], step_mm: float
) -> NDArray[np.float64]:
    """Return the affine to RAS of a stack.

    The animal lies prone, head first; its right, belly and head are the patient's right,
    anterior and superior.

    Args:
        plane: Orientation.
        size: Matrix.
        centre_mm: Centre of the first slice along the first, second and normal axis.
        step_mm: Distance of neighbouring slices.
    """
    spacing = FIELD_OF_VIEW_MM / size
    first_voxel = (FIELD_OF_VIEW_MM - spacing) / 2
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for axis, letter in enumerate(PLANE_AXES[plane]):
        row = "xyz".index(letter)
        affine[row, axis] = step_mm if axis == 2 else spacing
        affine[row, 3] = centre_mm[axis] - (0.0 if axis == 2 else first_voxel)
    return affine
