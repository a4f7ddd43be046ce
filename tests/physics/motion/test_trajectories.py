"""Paths, the order of lines, and rotations that lines share."""

from typing import get_args

import pytest
import torch

from custom.physics.motion.rigid_motion import acquired_lines
from custom.physics.motion.trajectories import Kind, Order, few_angles, line_poses, trajectory

ORDERS = get_args(Order)


def random(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("kind", get_args(Kind))
def test_a_path_keeps_to_its_amplitude_and_moves(kind):
    amplitude = torch.tensor([5.0, 2.0, 0.0])
    paths = torch.stack([trajectory(kind, amplitude, 200, random(seed)) for seed in range(30)])
    most = paths.abs().amax(dim=(0, 2))
    assert (most <= amplitude * (1.2 if kind == "mixed" else 1)).all()
    assert (most[:2] > 0.4 * amplitude[:2]).all()
    assert not most[2]
    assert torch.equal(paths[3], trajectory(kind, amplitude, 200, random(3)))


def test_the_kinds_move_as_they_are_called():
    amplitude = torch.tensor([4.0])
    steps = {
        kind: (trajectory(kind, amplitude, 400, random(7))[0].diff() != 0).sum()
        for kind in get_args(Kind)
    }
    assert 1 <= steps["sudden"] <= 3
    assert 2 <= steps["spikes"] <= 6
    assert steps["drift"] > 300
    drift = trajectory("drift", amplitude, 400, random(7))[0].diff()
    assert (drift > 0).all() or (drift < 0).all()
    turns = (
        trajectory("periodic", amplitude, 400, random(7))[0].diff().sign().diff().count_nonzero()
    )
    assert 4 <= turns <= 25


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("lines", [16, 21])
@pytest.mark.parametrize("fraction", [1.0, 0.7])
def test_each_line_is_read_once_in_its_time(order, lines, fraction):
    read = acquired_lines(lines, fraction)
    count = int(read.sum())
    path = torch.arange(count, dtype=torch.float64).repeat(3, 1)
    poses = line_poses(path, lines, order, 4, fraction)
    assert not poses[:, 0].any()  # the gauge: the centre has not moved
    assert not poses[:, ~read].any()
    times = poses[0, read] - poses[0, read].min()
    if order == "segmented":
        assert len(times.unique()) == 4
        return
    assert torch.equal(times.sort().values, torch.arange(count, dtype=torch.float64))
    frequency = torch.fft.fftfreq(lines, 1 / lines)[read].round()
    ordered = frequency[times.argsort()]
    if order == "sequential":
        assert (ordered.diff() == 1).all()
    elif order == "interleaved":
        assert (ordered.diff() == 2).sum() == count - 2
    else:
        assert (ordered.abs().diff() >= 0).all()


@pytest.mark.parametrize("order", ORDERS)
def test_a_shifted_trajectory_gives_the_same_poses(order):
    path = trajectory("mixed", torch.tensor([5.0] * 6), 128, random()).double()
    moved = path + torch.tensor([3.0, -1, 2, 8, 4, -7], dtype=torch.float64)[:, None]
    poses = line_poses(path, 30, order, 5, 0.8)
    read = acquired_lines(30, 0.8)
    found = line_poses(moved, 30, order, 5, 0.8)
    assert torch.allclose(found[:, read], poses[:, read], atol=1e-12)


def test_lines_share_rotations_and_a_path_of_few_is_exact():
    drift = line_poses(trajectory("drift", torch.tensor([8.0, 3.0, 3.0]), 96, random()), 96)
    few = few_angles(drift, 8)
    assert len(few[0].unique()) == 8
    assert not few[:, 0].any()
    assert torch.equal(few[1:], drift[1:])
    whole = drift[0].max() - drift[0].min()
    assert (few[0] - drift[0]).abs().max() < whole / 8
    sudden = line_poses(trajectory("sudden", torch.tensor([8.0] * 6), 96, random(2)), 96)
    assert torch.equal(few_angles(sudden, 4), sudden)


def test_what_is_wrong_is_refused():
    with pytest.raises(ValueError, match="kind"):
        trajectory("jump", torch.ones(3), 8, random())
    with pytest.raises(ValueError, match="order"):
        line_poses(torch.zeros(3, 8), 8, "spiral")
    with pytest.raises(ValueError, match="shots"):
        line_poses(torch.zeros(3, 8), 8, "segmented", 0)
    with pytest.raises(ValueError, match="states"):
        few_angles(torch.zeros(3, 8), 0)
