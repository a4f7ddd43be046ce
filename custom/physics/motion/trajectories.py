"""How a head moves during a scan, and in which pose each line of k-space is read."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from custom.physics.motion.rigid_motion import acquired_lines
from custom.setting_checks import check_choice, check_whole

__all__ = ["Kind", "Order", "few_angles", "line_poses", "trajectory"]

Kind = Literal["sudden", "drift", "periodic", "spikes", "mixed"]
Order = Literal["sequential", "interleaved", "segmented", "centre_out"]

_MOST = 3  # sudden moves, or spikes, of one scan
_CYCLES = (2.0, 12.0)  # nods or breaths of one scan
_WIDTH = (0.02, 0.15)  # share of the scan that a spike lasts
_ANGLE_STEP = 0.05  # degrees that need no state of their own: 0.07 mm at 80 mm


def trajectory(kind: Kind, amplitude: Tensor, times: int, random: torch.Generator) -> Tensor:
    """Draw a path of poses over a scan.

    ``sudden``: up to three moves to a new pose. ``drift``: one way, at a changing speed.
    ``periodic``: nodding and breathing. ``spikes``: away and back, up to three times. ``mixed``:
    drift and sudden moves.

    Args:
        kind: Of the path.
        amplitude: Most that each parameter departs from its start, in degrees or millimetres; of
            ``periodic`` from one turn to the other.
        times: Number of times at which poses are given.
        random: Source of the draw.

    Shape:
        ``amplitude``: ``(P,)``; output ``(P, times)``.

    Raises:
        ValueError: If ``kind`` is unknown.
    """
    check_choice("kind", kind, get_args(Kind))
    time = (torch.arange(times) + 0.5) / times
    size = len(amplitude)

    def uniform(*shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=random)

    signed = uniform(size, 1, low=-1)
    # At least 0.4 of the amplitude: else most paths would be still in most parameters.
    reach = amplitude[:, None] * signed.sign() * (0.4 + 0.6 * signed.abs())
    count = int(torch.randint(1, _MOST + 1, (1,), generator=random))
    if kind == "drift":
        return reach * time ** uniform(1, low=0.5, high=2.0)
    if kind == "periodic":
        cycles = uniform(1, low=_CYCLES[0], high=_CYCLES[1]) * time
        return reach / 2 * torch.sin(2 * math.pi * (cycles + uniform(size, 1)))
    if kind == "spikes":
        middle, width = uniform(count, 1), uniform(count, 1, low=_WIDTH[0], high=_WIDTH[1])
        return reach * ((time - middle).abs() < width / 2).any(dim=0)
    levels = amplitude[:, None] * uniform(size, count + 1, low=-1)
    levels[:, 0] = 0
    sudden = levels[:, (time[:, None] > uniform(count)).sum(dim=1)]
    return sudden if kind == "sudden" else 0.6 * sudden + 0.6 * reach * time


def line_poses(
    path: Tensor, lines: int, order: Order = "sequential", shots: int = 8, fraction: float = 1.0
) -> Tensor:
    """Return the pose in which each line is read, relative to the centre's.

    The image lies where the centre of k-space was read. Were it any other pose, the whole image
    would be displaced: an error that no one sees, and that costs much PSNR. The parameters are
    subtracted; of three rotations that is their composition to first order.

    Args:
        path: Poses at evenly spaced times of the scan; the nearest is taken.
        lines: Number of lines.
        order: ``sequential``; ``interleaved``: every second, then the others; ``segmented``: shots
            of every ``shots``-th line, each in the pose of its middle; ``centre_out``.
        shots: Number of shots if ``segmented``.
        fraction: Share of the lines that is read: see
            :func:`custom.physics.motion.rigid_motion.acquired_lines`. The others' poses are 0.

    Shape:
        ``(P, times)``; output ``(P, lines)``.

    Raises:
        ValueError: If ``order`` is unknown, ``shots`` is below 1 or ``fraction`` out of range.
    """
    check_choice("order", order, get_args(Order))
    check_whole("shots", shots, 1)
    read = acquired_lines(lines, fraction).nonzero()[:, 0]
    frequency = torch.where(read < (lines + 1) // 2, read, read - lines).sort().values
    if order == "centre_out":
        sequence = [frequency[frequency.abs().argsort(stable=True)]]
    else:
        steps = {"sequential": 1, "interleaved": 2, "segmented": shots}[order]
        sequence = [frequency[start::steps] for start in range(min(steps, len(frequency)))]
    time = torch.arange(len(frequency)) + 0.5
    if order == "segmented":
        parts = torch.split(time, [len(shot) for shot in sequence])
        time = torch.cat([part.mean().expand_as(part) for part in parts])
    at = (time * (path.shape[1] / len(frequency))).long()
    poses = torch.zeros(len(path), lines, dtype=path.dtype)
    number = torch.cat(sequence)
    poses[:, number % lines] = path[:, at] - path[:, at[number == 0]]
    return poses


def few_angles(poses: Tensor, states: int) -> Tensor:
    """Let lines share their rotations, so that there are few; shifts stay as they are.

    The centre's rotation is kept; then that which is farthest from those that are kept, and so on.
    A path of few poses is exact.

    Args:
        poses: Pose of each line.
        states: Largest number of rotations.

    Shape:
        ``(3, lines)`` or ``(6, lines)``; output the same.

    Raises:
        ValueError: If ``states`` is below 1.
    """
    check_whole("states", states, 1)
    angles = poses[: 1 if len(poses) == 3 else 3]
    kept = [0]
    nearest = torch.zeros(angles.shape[1], dtype=torch.long)
    distance = (angles - angles[:, :1]).norm(dim=0)
    while len(kept) < states and distance.max() > _ANGLE_STEP:
        kept.append(int(distance.argmax()))
        other = (angles - angles[:, kept[-1:]]).norm(dim=0)
        nearest = torch.where(other < distance, len(kept) - 1, nearest)
        distance = torch.minimum(other, distance)
    return torch.cat([angles[:, kept][:, nearest], poses[len(angles) :]])
