"""Severity ranks what motion does to an image; clean lines of a magnitude image are not clean."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from custom.physics.motion.rigid_motion import moved_kspace, to_image
from custom.physics.motion.severity import (
    CLASSES,
    kspace_nrmse,
    rms_displacement,
    rotation_matrix,
    severity_class,
)
from custom.physics.motion.trajectories import line_poses, trajectory

KINDS = ("sudden", "drift", "periodic", "spikes", "mixed")


def phantom():
    """A head of ellipses: skull, brain, ventricles, small structures."""
    y, x = np.meshgrid(np.linspace(-1, 1, 72), np.linspace(-1, 1, 64), indexing="ij")
    image = 0.9 * ((x / 0.85) ** 2 + (y / 0.95) ** 2 < 1) - 0.6 * (
        (x / 0.78) ** 2 + (y / 0.88) ** 2 < 1
    )
    image += 0.4 * ((x / 0.7) ** 2 + (y / 0.8) ** 2 < 1) - 0.5 * (
        ((np.abs(x) - 0.15) / 0.1) ** 2 + (y / 0.3) ** 2 < 1
    )
    image += 0.2 * (np.sin(14 * x) * np.sin(11 * y) > 0.5) * ((x / 0.6) ** 2 + (y / 0.7) ** 2 < 1)
    return torch.tensor(image.clip(0, 1), dtype=torch.float32)


def psnr(first, second):
    return -10 * math.log10(float((first - second).square().mean()))


@pytest.fixture(scope="module")
def scans():
    """Images of one phantom with motion of five kinds, their k-space, poses and PSNR."""
    image, found = phantom(), []
    still = torch.fft.fft2(image, norm="ortho")
    for number in range(60):
        random = torch.Generator().manual_seed(number)
        sizes = torch.rand(2, generator=random)
        amplitude = torch.stack([8 * sizes[0], 10 * sizes[1], 10 * sizes[1]])
        path = trajectory(KINDS[number % 5], amplitude, 64, random)
        poses = line_poses(path, 64)
        kspace = moved_kspace(image, poses, 1, (3.0, 3.0))
        moved = to_image(kspace, 2).abs()
        error = kspace_nrmse(kspace, still)
        found.append((psnr(moved, image), error, rms_displacement(poses), kspace, poses))
    return image, still, found


def test_the_error_of_k_space_ranks_images_and_displacement_less(scans):
    quality, error, displacement = np.array([scan[:3] for scan in scans[2]]).T
    by_error = -spearmanr(quality, error).statistic
    by_displacement = -spearmanr(quality, displacement).statistic
    assert by_error > 0.9
    assert by_error > by_displacement > 0.5
    classes = [severity_class(value) for value in error]
    means = [quality[[name == other for other in classes]].mean() for name in list(CLASSES)[1:]]
    assert all(first > second for first, second in pairwise(means))


def test_clean_lines_of_a_magnitude_image_are_not_those_of_the_scan(scans):
    image, still, found = scans
    scores = []
    for _, _, _, kspace, poses in found:
        same = ~poses.bool().any(dim=0)
        if not 0.2 < same.float().mean() < 0.9:
            continue
        measured = still.clone()
        measured[:, same] = kspace[:, same]
        assert torch.allclose(measured, still, atol=1e-4)  # of complex data it is exact
        measured[:, same] = torch.fft.fft2(to_image(kspace, 2).abs(), norm="ortho")[:, same]
        scores.append(psnr(to_image(measured, 2).abs(), image))
    assert len(scores) > 8
    assert np.mean(scores) < 34  # of a perfect image


def test_displacement_is_that_of_points_of_a_ball():
    random = torch.Generator().manual_seed(0)
    points = torch.randn(200_000, 3, generator=random, dtype=torch.float64)
    radii = torch.rand(200_000, 1, generator=random, dtype=torch.float64) ** (1 / 3)
    points = 80 * radii * points / points.norm(dim=1, keepdim=True)
    pose = torch.tensor([3.0, -5.0, 7.0, 2.0, -4.0, 1.0], dtype=torch.float64)[:, None]
    moved = points @ rotation_matrix(pose[:3])[0].T + pose[3:, 0]
    squares = (moved - points).square().sum(dim=1)
    error = float(squares.std()) / math.sqrt(len(points)) / (2 * rms_displacement(pose))
    assert rms_displacement(pose) == pytest.approx(float(squares.mean().sqrt()), abs=5 * error)
    plane = torch.tensor([6.0, 3.0, 0.0])[:, None].repeat(1, 4)
    disc = 80**2 / 2 * (2 - 2 * math.cos(math.radians(6))) + 9
    assert rms_displacement(plane) == pytest.approx(math.sqrt(disc), rel=1e-4)


def test_rotations_are_right_handed_and_in_order():
    angles = torch.tensor([[90.0], [90.0], [0.0]])
    expected = torch.tensor([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])  # about axis 0, then about axis 1
    y_turn = torch.tensor([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    x_turn = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    assert torch.allclose(rotation_matrix(angles)[0], y_turn @ x_turn, atol=1e-6)
    assert not torch.allclose(rotation_matrix(angles)[0], expected, atol=1e-6)


@pytest.mark.parametrize(("value", "name"), [(0.0, "still"), (0.0199, "still"), (0.02, "minor")])
def test_a_class_begins_at_its_number(value, name):
    assert severity_class(value) == name
