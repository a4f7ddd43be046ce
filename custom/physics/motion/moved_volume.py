"""A volume that moves while it is read: a draw of the motion, and what it makes of a volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from custom.physics.motion.rigid_motion import (
    Fill,
    acquired_lines,
    fill_lines,
    moved_kspace,
    to_image,
)
from custom.physics.motion.severity import kspace_nrmse, rms_displacement, slice_nrmse
from custom.physics.motion.trajectories import Kind, Order, few_angles, line_poses

__all__ = ["MotionDraw", "Moved", "with_motion"]


@dataclass(frozen=True)
class MotionDraw:
    """One scan's motion, for images of any size: see :func:`with_motion`.

    Args:
        kind: Kind of the path, or ``still``.
        paths: Poses in the order of time, in degrees and millimetres, ``(packages, P, times)``;
            ``P`` is 3 in the plane, 6 in space. Slice ``s`` moves by path ``s % packages``.
        phase_axis: Phase-encode axis: 0 or 1 of the plane.
        order: Order of the lines.
        shots: Shots of a segmented order.
        fraction: Share of the lines that is read.
        fill: What stands for the others.
        noise_std: Deviation of the noise of one channel, in the unit of the image.
        seed: Of the noise.
    """

    kind: Kind | Literal["still"]
    paths: Tensor
    phase_axis: int
    order: Order = "sequential"
    shots: int = 8
    fraction: float = 1.0
    fill: Fill = "zero"
    noise_std: float = 0.0
    seed: int = 0


class Moved(NamedTuple):
    """A volume that moved while it was read.

    Attributes:
        image: Its magnitude, ``(1, X, Y, Z)``.
        severity: NRMSE of its k-space before noise and missing lines.
        displacement: Root mean square displacement in millimetres.
        slice_severities: ``severity`` of each slice.
    """

    image: Tensor
    severity: float
    displacement: float
    slice_severities: Tensor


def with_motion(
    volume: Tensor, draw: MotionDraw, spacing: Sequence[float], slice_dim: int = 2, states: int = 8
) -> Moved:
    """Return a volume that moved while it was read, and how severely it did.

    Args:
        volume: Magnitude image of a still head.
        draw: The motion.
        spacing: Edges of a voxel in millimetres.
        slice_dim: Spatial axis that counts slices.
        states: Largest number of distinct rotations of a path; time goes with it.

    Shape:
        ``(1, X, Y, Z)``.
    """
    slices = volume.as_subclass(Tensor).movedim(slice_dim + 1, 1)[0].contiguous()
    edges = [spacing[slice_dim], *(e for axis, e in enumerate(spacing) if axis != slice_dim)]
    dims = 2 if draw.paths.shape[1] == 3 else 3
    axis = draw.phase_axis + dims - 2
    lines = slices.shape[axis - dims]
    read = acquired_lines(lines, draw.fraction)
    random = torch.Generator().manual_seed(draw.seed)
    result, still, moved, displacements = torch.empty_like(slices), [], [], []
    severities = torch.zeros(len(slices))
    for number, path in enumerate(draw.paths):
        part = slices[number :: len(draw.paths)] if dims == 2 else slices
        if not len(part):
            continue
        poses = few_angles(line_poses(path, lines, draw.order, draw.shots, draw.fraction), states)
        kspace = moved_kspace(part, poses, axis, edges[-dims:])
        reference = torch.fft.fftn(part, dim=list(range(-dims, 0)), norm="ortho")
        pair = [k.movedim(axis - dims, -1)[..., read] for k in (kspace, reference)]
        moved.append(pair[0].flatten())
        still.append(pair[1].flatten())
        if dims == 3:
            pair = [torch.fft.ifft(k, dim=0, norm="ortho") for k in pair]
        severities[number :: len(draw.paths)] = slice_nrmse(*pair)
        displacements.append(rms_displacement(poses[:, read]))
        if draw.noise_std > 0:
            noise = torch.randn(2, *kspace.shape, generator=random, dtype=part.dtype)
            kspace = kspace + draw.noise_std * torch.complex(*noise)
        kspace = fill_lines(kspace, read, axis, dims, draw.fill)
        # What does not move comes back bit for bit, without the transforms' rounding.
        as_it_was = not poses.any() and draw.noise_std == 0 and bool(read.all())
        image = part if as_it_was else to_image(kspace, dims).abs()
        result[number :: len(draw.paths)] = image
    severity = kspace_nrmse(torch.cat(moved), torch.cat(still))
    displacement = float(np.sqrt(np.mean(np.square(displacements))))
    return Moved(result[None].movedim(1, slice_dim + 1), severity, displacement, severities)
