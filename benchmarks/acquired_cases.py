"""Inputs of the page on acquired scans: real volumes, degraded in every way that the rules list."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.real_brains import SOURCES, Source
from custom.data.preparation.cropping import crop_air
from custom.physics.acquisition import OPERATORS, acquire, rician
from custom.physics.intensity_statistics import reference_intensity
from custom.transforms.non_local_means import estimated_noise

Array = NDArray[np.float32]

TESTED = tuple(source for source in SOURCES if source.split != "training")
HELD, TRAINED = "held scanner", "scanner of the training, other person"
SAME_GRID = "same grid"  # in the operator's place: noise alone
NOISE = (0.0, 0.03, 0.06)
NOISE_SAME_GRID = (0.0, 0.03, 0.06, 0.09)
VARYING = -0.06  # from half to one and a half times 6 %, along the first axis
THICK = (("kspace", 4), ("box", 4), ("slice", 4), ("slice", 5))  # operator, times longer voxels
NOISE_THICK = (0.0, 0.03)
GAIN_FROM = ("kspace", 0.03)  # drawn twice, for the white-noise gain
_CROP, _CROP_SAME_GRID = 80, 48  # voxels along each axis, of the middle
_REPEATS = 45  # in the mean of the echo-planar series
_EDGE = 4  # voxels that are taken off the head


@dataclass(frozen=True, eq=False)
class Truth:
    """A volume as it was scanned.

    Args:
        scan: Its name.
        subject: Who it shows.
        group: ``HELD`` or ``TRAINED``.
        values: ``(X, Y, Z)``.
        head: The head without its edge, of the same shape.
        tissue: Mean intensity of its foreground, of which noise levels are shares.
        affine: ``(4, 4)``, voxel index to millimetres.
    """

    scan: str
    subject: str
    group: str
    values: Array
    head: NDArray[np.bool_]
    tissue: float
    affine: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Case:
    """A degraded volume, and what it was made from.

    Args:
        truth: The volume before.
        operator: One of ``OPERATORS``, or ``SAME_GRID``.
        noise: Level, as a share of the tissue; ``VARYING`` for one that varies in space.
        draw: Number of the noise's draw.
        scale: How many times coarser it is along each axis.
    """

    truth: Truth
    operator: str
    noise: float
    draw: int = 0
    scale: tuple[int, int, int] = (2, 2, 2)

    @property
    def name(self) -> str:
        """Name of its files."""
        level = "varying" if self.noise == VARYING else f"{100 * self.noise:.0f}"
        return f"{self.truth.scan}_{self.made_by.replace(' ', '')}_{level}_{self.draw}"

    @property
    def made_by(self) -> str:
        """What it was made by, in words."""
        thick = max(self.scale)
        return self.operator if min(self.scale) == thick else f"{self.operator} 1 x 1 x {thick}"

    @property
    def sigma(self) -> float:
        """Mean deviation of the noise of a channel, in the unit of the volume."""
        return abs(self.noise) * self.truth.tissue

    def degraded(self) -> Array:
        """Return what is restored."""
        values = torch.from_numpy(self.truth.values)[None, None]
        if self.operator != SAME_GRID:
            values = acquire(values, self.operator, self.scale)
        sigma: Any = self.sigma
        if self.noise == VARYING:
            sigma = sigma * torch.linspace(0.5, 1.5, values.shape[2]).view(-1, 1, 1)
        generator = torch.Generator().manual_seed(zlib.crc32(self.name.encode()))
        return rician(values, sigma, generator)[0, 0].numpy()

    def write(self, folder: Path) -> Path:
        """Write what is restored, unless it is there; return the file."""
        file = folder / f"{self.name}.nii.gz"
        if not file.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            scale = (1, 1, 1) if self.operator == SAME_GRID else self.scale
            step = np.diag([*scale, 1.0])
            step[:3, 3] = [(factor - 1) / 2 for factor in scale]
            nib.save(nib.Nifti1Image(self.degraded(), self.truth.affine @ step), file)
        return file


@dataclass(frozen=True, eq=False)
class Repeat(Case):
    """A scan among repeats of it, whose mean without it is the truth; its noise is the scanner's.

    Args:
        single: The scan, ``(X, Y, Z)``.
    """

    single: Array = field(default_factory=lambda: np.zeros((0, 0, 0), np.float32))

    @property
    def sigma(self) -> float:
        """Deviation of the noise, estimated."""
        return estimated_noise(self.single)

    def degraded(self) -> Array:
        """Return what is restored."""
        return self.single


def repeat_cases(data: Path) -> list[Case]:
    """Return the middle of four scans of an echo-planar series, each with the mean of the others.

    The mean on file is that of 45 scans, these four among them: each is taken out again.
    """
    folder = data / "repeats"
    singles = nib.load(folder / "philips3T_subA_EPI_4singles.nii.gz")
    mean = nib.load(folder / "philips3T_subA_EPI_mean45.nii.gz")
    middle = tuple(slice((n - _CROP_SAME_GRID) // 2, (n + _CROP_SAME_GRID) // 2) for n in (96, 96))
    values = np.asarray(singles.dataobj, np.float32)[middle]
    whole = np.asarray(mean.dataobj, np.float32)[middle]
    tissue = float(reference_intensity(torch.from_numpy(whole), "foreground_mean"))
    affine = np.asarray(mean.affine, np.float64)
    found: list[Case] = []
    for number, single in enumerate(np.moveaxis(values, 3, 0)):
        others = (_REPEATS * whole - single) / (_REPEATS - 1)
        head = head_of(others, tissue)
        truth = Truth("EPI", "philips_a", TRAINED, others, head, tissue, affine)
        given = np.ascontiguousarray(single)
        found.append(Repeat(truth, SAME_GRID, 0, number, single=given))
    return found


def truths(data: Path, largest: int, sources: Sequence[Source] = TESTED) -> Iterator[Truth]:
    """Read the middle of volumes; by default of every one that no training step saw."""
    trained = {source.scanner for source in SOURCES if source.split == "training"}
    for source in sources:
        image = nib.load(data / source.file)
        values = np.asarray(image.dataobj, np.float32)
        values, affine = crop_air(values, np.asarray(image.affine, np.float64), largest)
        values = np.ascontiguousarray(values)
        tissue = float(reference_intensity(torch.from_numpy(values), "foreground_mean"))
        scan = Path(source.file).name.removesuffix(".nii.gz")
        group = TRAINED if source.scanner in trained else HELD
        yield Truth(scan, source.subject, group, values, head_of(values, tissue), tissue, affine)


def head_of(values: NDArray[Any], tissue: float) -> NDArray[np.bool_]:
    """Return the head with its holes, without its outermost voxels and those of the volume."""
    # Not Otsu's threshold: of a T2-weighted brain it takes the liquor alone.
    bright = np.pad(values > 0.3 * tissue, _EDGE, mode="edge")
    closed = ndimage.binary_closing(bright, iterations=_EDGE)
    inside = closed[(slice(_EDGE, -_EDGE),) * 3]
    return np.asarray(ndimage.binary_erosion(inside, iterations=_EDGE))


def super_resolution_cases(data: Path) -> list[Case]:
    """Return every volume under every operator and noise level."""
    found = []
    for truth in truths(data, _CROP):
        found += [Case(truth, operator, noise) for operator in OPERATORS for noise in NOISE]
        found.append(Case(truth, *GAIN_FROM, draw=1))
    return found


def thick_cases(data: Path) -> list[Case]:
    """Return every volume with thick slices along its last axis."""
    return [
        Case(truth, operator, noise, scale=(1, 1, factor))
        for truth in truths(data, _CROP)
        for operator, factor in THICK
        for noise in NOISE_THICK
    ]


def denoising_cases(data: Path) -> list[Case]:
    """Return every volume at every noise level on its own grid."""
    levels = (*NOISE_SAME_GRID, VARYING)
    return [Case(truth, SAME_GRID, n) for truth in truths(data, _CROP_SAME_GRID) for n in levels]
