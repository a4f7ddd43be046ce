"""Motion in k-space against closed forms: 2D and 3D, odd sizes, voxels that are no cubes."""

import math

import pytest
import torch

from custom.physics.motion.rigid_motion import (
    PLANES,
    acquired_lines,
    fill_lines,
    moved_kspace,
    rotate,
    to_image,
)
from custom.physics.motion.severity import rotation_matrix

SHAPES = [(24, 31), (17, 20), (9, 12, 14), (10, 11, 9)]
SPACINGS = {2: (1.5, 0.8), 3: (3.0, 1.0, 1.2)}


def phantom(shape):
    return torch.rand(2, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def still_poses(shape, axis):
    dims = len(shape)
    return torch.zeros(len(PLANES[dims]) + dims, shape[axis], dtype=torch.float64)


def still(image, dims):
    return torch.fft.fftn(image.to(torch.complex128), dim=list(range(-dims, 0)), norm="ortho")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("axis", [0, 1])
def test_no_motion_changes_nothing(shape, axis):
    image, dims = phantom(shape), len(shape)
    kspace = moved_kspace(image, still_poses(shape, axis), axis, SPACINGS[dims])
    assert torch.equal(kspace, still(image, dims))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("axis", [0, 1])
def test_a_shift_during_the_whole_scan_is_a_roll(shape, axis):
    image, dims = phantom(shape), len(shape)
    poses, steps = still_poses(shape, axis), [3, -2, 1][:dims]
    for pose, step, edge in zip(poses[-dims:], steps, SPACINGS[dims], strict=True):
        pose += step * edge
    moved = to_image(moved_kspace(image, poses, axis, SPACINGS[dims]), dims)
    rolled = torch.roll(image, steps, list(range(-dims, 0)))
    assert (moved - rolled).abs().max() < 1e-12


@pytest.mark.parametrize("shape", SHAPES)
def test_a_rotation_keeps_the_energy_and_is_undone_by_its_opposite(shape):
    image, spacing = phantom(shape), SPACINGS[len(shape)]
    angles = [7.3, -4.1, 9.0][: len(PLANES[len(shape)])]
    turned = rotate(image, angles, spacing)
    assert turned.abs().square().sum() / image.square().sum() == pytest.approx(1, abs=1e-14)
    for place in reversed(range(len(angles))):  # the last rotation first
        alone = [-angle if place == other else 0 for other, angle in enumerate(angles)]
        turned = rotate(turned, alone, spacing)
    assert (turned - image).abs().max() < 1e-13


def blob(shape, spacing, centre, axes):
    """A Gaussian of deviations 3 to 5 mm along ``axes``, in millimetres."""
    places = [
        (torch.arange(size, dtype=torch.float64) - (size - 1) / 2) * edge
        for size, edge in zip(shape, spacing, strict=True)
    ]
    grid = torch.stack(torch.meshgrid(*places, indexing="ij"), dim=-1) - centre
    widths = torch.tensor([3.0, 5.0, 4.0], dtype=torch.float64)[: len(shape)]
    return torch.exp(-((grid @ axes / widths) ** 2).sum(dim=-1) / 2)


@pytest.mark.parametrize(
    ("shape", "spacing", "angles"),
    [
        ((61, 90), (1.0, 0.7), [9.0]),
        ((90, 44), (0.8, 1.6), [-12.0]),
        ((40, 50, 60), (1.5, 1.2, 1.0), [8.0, -6.0, 10.0]),
        ((61, 40, 44), (1.0, 1.5, 1.4), [0.0, 9.0, 0.0]),
    ],
)
def test_a_turned_gaussian_has_its_closed_form_in_millimetres(shape, spacing, angles):
    dims = len(shape)
    centre = torch.tensor([5.0, -3.0, 2.0], dtype=torch.float64)[:dims]
    axes = rotation_matrix(torch.full((len(angles), 1), 20.0, dtype=torch.float64))[0]
    turn = rotation_matrix(torch.tensor(angles, dtype=torch.float64)[:, None])[0]
    turned = rotate(blob(shape, spacing, centre, axes), angles, spacing)
    expected = blob(shape, spacing, turn @ centre, turn @ axes)
    assert (turned - expected).abs().max() < 2e-7
    # The other way round it is another image.
    assert (turned - blob(shape, spacing, turn.T @ centre, turn.T @ axes)).abs().max() > 0.1


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_lines_of_each_pose_are_those_of_the_image_in_that_pose(axis):
    shape, spacing = (9, 12, 14), SPACINGS[3]
    image, poses = phantom(shape), still_poses(shape, axis)
    late = torch.arange(shape[axis]) % 3 == 1
    poses[:, late] = torch.tensor([4.0, -3, 6, 2.5, -1.7, 0.4], dtype=torch.float64)[:, None]
    whole = poses[:, late][:, :1].expand_as(poses)
    moved = moved_kspace(image, poses, axis, spacing)
    turned = still(rotate(image, [4.0, -3, 6], spacing), 3)
    for place, (shift, edge) in enumerate(zip([2.5, -1.7, 0.4], spacing, strict=True)):
        frequency = torch.fft.fftfreq(shape[place], dtype=torch.float64)
        ramp = torch.exp(-2j * math.pi * frequency * shift / edge)
        turned = turned * ramp.reshape([-1 if place == other else 1 for other in range(3)])
    assert torch.allclose(moved_kspace(image, whole, axis, spacing), turned, atol=1e-12)
    places = late.nonzero()[:, 0], (~late).nonzero()[:, 0]
    for lines, expected in zip(places, (turned, still(image, 3)), strict=True):
        found = moved.index_select(axis - 3, lines)
        assert torch.allclose(found, expected.index_select(axis - 3, lines), atol=1e-12)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_shift_of_odd_lines_gives_the_ghost_of_half_the_field_of_view(axis):
    shape, across = (24, 32), 1 - axis
    image, poses = phantom(shape), still_poses(shape, axis)
    poses[1 + across, 1::2] = 3 * SPACINGS[2][across]
    other = torch.roll(image, 3, across - 2)
    ghost = torch.roll((image - other) / 2, shape[axis] // 2, axis - 2)
    moved = to_image(moved_kspace(image, poses, axis, SPACINGS[2]), 2)
    assert (moved - ((image + other) / 2 + ghost)).abs().max() < 1e-12


@pytest.mark.parametrize("shape", SHAPES)
def test_missing_lines_of_a_real_image_are_given_back_by_conjugates(shape):
    image, dims = phantom(shape), len(shape)
    kspace = still(image, dims)
    acquired = acquired_lines(shape[1], 0.7)
    frequency = torch.fft.fftfreq(shape[1], 1 / shape[1])
    assert int(acquired.sum()) == math.ceil(0.7 * shape[1])
    assert acquired[frequency >= 0].all()
    zero = fill_lines(kspace, acquired, 1, dims)
    assert torch.equal(
        zero.movedim(1 - dims, 0)[~acquired], 0 * zero.movedim(1 - dims, 0)[~acquired]
    )
    filled = fill_lines(zero, acquired, 1, dims, "conjugate").movedim(1 - dims, 0)
    # The line of -N/2 has no opposite.
    known = acquired | (frequency != -shape[1] / 2)
    expected = kspace.movedim(1 - dims, 0)
    assert torch.allclose(filled[known], expected[known], atol=1e-12)


def test_single_precision_is_kept():
    image, poses = phantom((24, 31)).float(), still_poses((24, 31), 1).float()
    poses[:, 5:9] = 2.0
    exact = moved_kspace(image.double(), poses.double(), 1, (1.0, 1.0))
    found = moved_kspace(image, poses, 1, (1.0, 1.0))
    assert found.dtype == torch.complex64
    assert torch.allclose(found.to(torch.complex128), exact, atol=1e-5)


def test_what_is_wrong_is_refused():
    with pytest.raises(ValueError, match="poses"):
        moved_kspace(torch.zeros(8, 9), torch.zeros(3, 8), 1, (1.0, 1.0))
    with pytest.raises(ValueError, match="fraction"):
        acquired_lines(8, 0.5)
