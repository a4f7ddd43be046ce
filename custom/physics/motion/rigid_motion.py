r"""K-space of an object that moves rigidly while its lines are read.

**Rotation.** By three shears of the plane, each a shift of rows by a phase ramp of their spectrum:

.. math:: R(\theta) = S_a(-\tan\tfrac{\theta}{2}) \, S_b(\sin\theta) \, S_a(-\tan\tfrac{\theta}{2})

Each is unitary, so that a rotation keeps the energy and is undone exactly by its opposite; there is
no interpolation. Shears are in millimetres: an angle is one of space, whatever the voxels.

**Translation.** A phase ramp over each line: exact for any shift.

**Lines** are the planes of k-space of one index along the phase-encode axis, all read in one pose;
they stand in the order of ``torch.fft.fftfreq``, so that line 0 is the centre. Spectra are
orthonormal: noise has the same deviation in both domains.

**Poses** are ``(3, lines)`` in 2D (rotation, shifts along both axes) and ``(6, lines)`` in 3D
(rotations about the three axes, applied in this order, then the three shifts), in degrees and
millimetres, about the centre of the grid.

Source:
    docs/methods/motion_cdm.md, "Motion".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, fft

__all__ = ["PLANES", "Fill", "acquired_lines", "fill_lines", "moved_kspace", "rotate", "to_image"]

Fill = Literal["zero", "conjugate"]

# Planes of the rotations, by the number of dimensions: the first axis turns towards the second.
PLANES = {2: ((0, 1),), 3: ((1, 2), (2, 0), (0, 1))}


def rotate(image: Tensor, angles: Sequence[float], spacing: Sequence[float]) -> Tensor:
    """Rotate images about the centre of their grid.

    Args:
        image: Real or complex.
        angles: In degrees, one a plane of :data:`PLANES`.
        spacing: Edges of a voxel in millimetres; one a spatial axis.

    Shape:
        ``(..., *spatial)``; output the same, complex.
    """
    return to_image(_rotated_spectrum(image, angles, spacing), len(spacing))


def to_image(kspace: Tensor, dims: int) -> Tensor:
    """Return the complex image of a spectrum over the last ``dims`` axes."""
    image: Tensor = fft.ifftn(kspace, dim=_last(dims), norm="ortho")
    return image


def moved_kspace(image: Tensor, poses: Tensor, phase_axis: int, spacing: Sequence[float]) -> Tensor:
    """Return the k-space of images whose pose changes from line to line.

    Each distinct rotation costs its Fourier transforms: see
    :func:`custom.physics.motion.trajectories.few_angles`.

    Args:
        image: Real or complex; all images of the leading axes move alike.
        poses: Pose of each line.
        phase_axis: Spatial axis along which lines are counted.
        spacing: Edges of a voxel in millimetres; one a spatial axis, so their number says 2D or 3D.

    Shape:
        ``image``, output: ``(..., *spatial)``; ``poses``: ``(3, lines)`` or ``(6, lines)``.

    Raises:
        ValueError: If there are not as many poses as lines, or they are of another dimension.
    """
    dims = len(spacing)
    axis = phase_axis - dims
    expected = (len(PLANES[dims]) + dims, image.shape[axis])
    if poses.shape != expected:
        raise ValueError(f"poses must be {expected}, got {tuple(poses.shape)}")
    states, state = torch.unique(poses[:-dims], dim=1, return_inverse=True)
    spectra = (_rotated_spectrum(image, angles, spacing) for angles in states.T.tolist())
    kspace = next(spectra)
    for number, spectrum in enumerate(spectra, start=1):
        lines = (state == number).nonzero()[:, 0]
        kspace.index_copy_(kspace.ndim + axis, lines, spectrum.index_select(axis, lines))
    shifts = poses[-dims:]
    if shifts.any():
        real = kspace.real.dtype
        turns = torch.zeros((), dtype=real)
        for number, (shift, edge) in enumerate(zip(shifts, spacing, strict=True)):
            frequency = fft.fftfreq(image.shape[number - dims], dtype=real)
            voxels = _along((shift / edge).to(real), phase_axis, dims)
            turns = turns - _along(frequency, number, dims) * voxels
        kspace = kspace * _phase(turns)
    return kspace


def acquired_lines(lines: int, fraction: float) -> Tensor:
    """Return which lines partial Fourier reads: the highest frequencies down to some negative one.

    Args:
        lines: Their number.
        fraction: Share that is read, above 0.5 to 1; the centre always is.

    Raises:
        ValueError: If ``fraction`` is outside its range.
    """
    if not 0.5 < fraction <= 1:
        raise ValueError(f"fraction must be above 0.5 and at most 1, got {fraction}")
    frequency: Tensor = fft.fftfreq(lines, 1 / lines).round()
    kept = math.ceil(fraction * lines)
    return frequency >= lines - kept - lines // 2


def fill_lines(
    kspace: Tensor, acquired: Tensor, phase_axis: int, dims: int, fill: Fill = "zero"
) -> Tensor:
    """Fill the lines that were not read.

    Args:
        kspace: Spectrum over the last ``dims`` axes.
        acquired: Which lines were read, ``(lines,)``.
        phase_axis: Spatial axis along which lines are counted.
        dims: Number of spatial axes.
        fill: ``zero``, or ``conjugate``: the opposite sample's conjugate, as of a real image.

    Shape:
        ``(..., *spatial)``; output the same.
    """
    if acquired.all():
        return kspace
    read = _along(acquired, phase_axis, dims)
    kept = kspace * read
    if fill == "zero":
        return kept
    opposite = kept.flip(_last(dims)).roll([1] * dims, _last(dims)).conj()
    return torch.where(read, kept, opposite)


def _rotated_spectrum(image: Tensor, angles: Sequence[float], spacing: Sequence[float]) -> Tensor:
    """Return the spectrum of rotated images; an axis is transformed only when a shear needs it."""
    dims = len(spacing)
    spectral: set[int] = set()
    result = image if image.is_complex() else torch.complex(image, torch.zeros_like(image))
    for (first, second), degrees in zip(PLANES[dims], angles, strict=True):
        if degrees == 0:
            continue
        angle = math.radians(degrees)
        outer = (first, second, _ramp(result, spacing, first, second, -math.tan(angle / 2)))
        inner = (second, first, _ramp(result, spacing, second, first, math.sin(angle)))
        for along, across, ramp in (outer, inner, outer):
            if across in spectral:
                result = fft.ifft(result, dim=across - dims, norm="ortho")
                spectral.remove(across)
            if along not in spectral:
                result = fft.fft(result, dim=along - dims, norm="ortho")
                spectral.add(along)
            result = result * ramp
    left = [axis - dims for axis in range(dims) if axis not in spectral]
    return fft.fftn(result, dim=left, norm="ortho") if left else result


def _ramp(
    image: Tensor, spacing: Sequence[float], along: int, across: int, amount: float
) -> Tensor:
    """Return the phases that shift rows along one axis, in proportion to their place across."""
    dims, real = len(spacing), image.real.dtype
    length, rows = image.shape[along - dims], image.shape[across - dims]
    place = (torch.arange(rows, dtype=real) - (rows - 1) / 2) * spacing[across] / spacing[along]
    frequency = fft.fftfreq(length, dtype=real)
    return _phase(_along(frequency, along, dims) * _along(-amount * place, across, dims))


def _last(dims: int) -> list[int]:
    """Return the last axes."""
    return list(range(-dims, 0))


def _along(values: Tensor, axis: int, dims: int) -> Tensor:
    """Lay values along one of ``dims`` axes."""
    return values.reshape([-1 if axis == other else 1 for other in range(dims)])


def _phase(turns: Tensor) -> Tensor:
    """Return the complex number of modulus 1 at so many turns."""
    return torch.polar(torch.ones_like(turns), 2 * math.pi * turns)
