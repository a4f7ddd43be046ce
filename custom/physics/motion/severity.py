"""How severe the motion of a scan is, as a number and as a class."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from custom.physics.motion.rigid_motion import PLANES

__all__ = [
    "CLASSES",
    "Severity",
    "kspace_nrmse",
    "rms_displacement",
    "severity_class",
    "slice_nrmse",
]

Severity = Literal["still", "minor", "moderate", "severe"]

# Lowest NRMSE of each class.
CLASSES: dict[Severity, float] = {"still": 0.0, "minor": 0.02, "moderate": 0.08, "severe": 0.11}
_HEAD = 80.0  # mm, the radius of Jenkinson's sphere


def kspace_nrmse(moved: Tensor, still: Tensor) -> float:
    r"""Return the error of a k-space over its norm, :math:`\|k - k_0\| / \|k_0\|`.

    It ranks images by their PSNR better than :func:`rms_displacement` does
    (docs/methods/motion_cdm.md, "Motion"). Noise and lines that are not read should be left out of
    both.
    """
    # Over real numbers: torch's norm of complex ones takes five times as long.
    parts = [torch.view_as_real(k) if k.is_complex() else k for k in (moved - still, still)]
    error, norm = (float(part.norm()) for part in parts)
    return error / norm if norm else 0.0


def slice_nrmse(moved: Tensor, still: Tensor) -> Tensor:
    """Return the :func:`kspace_nrmse` of each slice: ``(S, X, Y)`` to ``(S,)``; of none, 0."""
    error, norm = (torch.linalg.vector_norm(k, dim=(1, 2)) for k in (moved - still, still))
    return torch.where(norm > 0, error / norm, 0.0)


def rms_displacement(poses: Tensor, radius: float = _HEAD) -> float:
    r"""Return the root mean square displacement, over a ball and over lines, in millimetres.

    .. math:: d^2 = \frac{R^2}{n + 2} \mathrm{tr}\,(M - I)^T (M - I) + |t|^2

    in ``n`` dimensions, for a pose of rotation ``M`` and shift ``t``.

    Args:
        poses: Poses of lines, in degrees and millimetres.
        radius: Of the ball about the centre of rotation, in millimetres.

    Shape:
        ``(3, lines)`` or ``(6, lines)``.

    Source:
        Jenkinson, "Measuring transformation error by RMS deviation", FMRIB TR99MJ1, 1999: there in
        three dimensions, ``R^2 / 5``; a disc has ``R^2 / 4``.
    """
    dims = 2 if len(poses) == 3 else 3
    turned = rotation_matrix(poses[:-dims]) - torch.eye(dims)
    squares = radius**2 / (dims + 2) * turned.square().sum(dim=(-2, -1))
    return math.sqrt((squares + poses[-dims:].square().sum(dim=0)).mean())


def rotation_matrix(angles: Tensor) -> Tensor:
    """Return the rotations of angles in degrees: ``(1, N)`` to ``(N, 2, 2)``, or 3."""
    dims = {1: 2, 3: 3}[len(angles)]
    result = torch.eye(dims, dtype=angles.dtype).repeat(angles.shape[1], 1, 1)
    for (first, second), angle in zip(PLANES[dims], torch.deg2rad(angles), strict=True):
        turn = torch.eye(dims, dtype=angles.dtype).repeat(angles.shape[1], 1, 1)
        turn[:, first, first] = turn[:, second, second] = angle.cos()
        turn[:, first, second], turn[:, second, first] = -angle.sin(), angle.sin()
        result = turn @ result
    return result


def severity_class(nrmse: float) -> Severity:
    """Return the class of a k-space NRMSE, by :data:`CLASSES`."""
    return [name for name, lowest in CLASSES.items() if nrmse >= lowest][-1]
