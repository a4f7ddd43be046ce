"""Measures of the page on real motion, by hand; its cases and its words."""

import numpy as np
import pytest
import torch

from benchmarks import motion_real_cases, motion_real_lesions, motion_real_measures
from benchmarks.acquired_cases import HELD, Truth
from benchmarks.motion_real_cases import CONDITIONS, moving, standing

AFFINE = np.diag([1.0, 1.0, 3.0, 1.0])


def truth():
    place = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in (24, 24, 8)], indexing="ij"))
    values = (100 / (1 + np.exp(12 * (np.linalg.norm(place, axis=0) - 0.7)))).astype(np.float32)
    return Truth("a", "a", HELD, values, values > 50, 80.0, AFFINE)


def test_gradient_entropy_of_known_images():
    ramp = np.add.outer(np.arange(8.0), np.zeros(8))
    assert motion_real_measures.gradient_entropy(ramp) == pytest.approx(1)  # the same everywhere
    # A step's gradient is 1/2 in two of eight rows: 16 equal values of 64 voxels.
    step = np.add.outer(np.repeat([0.0, 1.0], 4), np.zeros(8))
    expected = 16 * (1 / 4) * np.log(4) / (8 * np.log(8))
    assert motion_real_measures.gradient_entropy(step) == pytest.approx(expected)


def test_contrast_and_area_of_a_lesion_against_a_hand_calculation():
    lesion, ring = np.zeros((5, 5), bool), np.ones((5, 5), bool)
    lesion[2, 2:4] = True
    ring &= ~lesion
    still = np.where(lesion, 30.0, 10.0)
    assert motion_real_lesions.lesion_kept(still, still, lesion, ring) == (1, 1)
    faded = still.copy()
    faded[2, 2] = 15.0  # mean 22.5 of 30: contrast 12.5 of 20, and one of two voxels
    assert motion_real_lesions.lesion_kept(faded, still, lesion, ring) == (0.625, 0.5)
    grown = still.copy()
    grown[0, 0] = 33.0  # in the ring, whose mean rises by one
    assert motion_real_lesions.lesion_kept(grown, still, lesion, ring) == (0.95, 1.5)
    dark = motion_real_lesions.lesion_kept(40 - faded, 40 - still, lesion, ring)
    assert dark == (0.625, 0.5)


def test_gain_share_and_worst_volume_by_hand_and_slices_that_did_not_move_do_not_count():
    rows = [
        {"volume": v, "psnr_before": b, "psnr_ours": b + g, "ssim_before": 0.5, "ssim_ours": 0.6}
        for v, b, g in [("a", 20, 2), ("a", 30, 4), ("b", 25, -3), ("b", np.inf, 0)]
    ]
    found = motion_real_measures.gains(rows)
    assert (found["slices"], found["psnr"], found["worst"]) == (3, 1, -3)
    assert (found["better"], found["worst_volume"]) == (pytest.approx(2 / 3), "b")
    assert found["ssim"] == pytest.approx(0.1)


def test_harm_counts_slices_kept_and_the_psnr_of_whole_volumes():
    before = np.zeros((2, 2, 4))
    before[0, 0] = 10.0
    after = before.copy()
    after[1, 1, 0] = 4.0  # squared error 16 / 16 voxels, range 10
    found = motion_real_measures.harm([(before, after), (before, before)])
    assert found == {"psnr": pytest.approx(20), "least": pytest.approx(20), "kept": 7 / 8}


@pytest.mark.parametrize("condition", CONDITIONS)
def test_every_condition_moves_the_head_alike_each_time_and_leaves_the_truth(condition):
    given = truth()
    case, again = (moving(given, condition, 1, 4) for _ in range(2))
    np.testing.assert_array_equal(case.single, again.single)
    np.testing.assert_array_equal(case.truth.values, given.values[..., 2:6])
    assert np.abs(case.single - case.truth.values).max() > 1
    assert moving(given, condition, 0, 4).name != case.name
    still = standing(given, condition, 4)
    np.testing.assert_array_equal(still.single, still.truth.values)
    differs = condition in motion_real_cases.AFTER_THE_STILL
    assert np.array_equal(still.single, given.values[..., 2:6]) != differs


def test_a_random_walk_reaches_its_amplitude_and_a_tremor_has_no_memory():
    random = torch.Generator().manual_seed(0)
    amplitude = torch.tensor([[[3.0]]]).expand(1, 1, 4096)
    walk = motion_real_cases.random_walk(amplitude, random)
    assert float(walk.abs().max()) == pytest.approx(3)
    assert float(walk.diff().abs().max()) < 0.5
    shake = motion_real_cases.tremor(amplitude, random)[0, 0]
    assert float(shake.std()) == pytest.approx(1.5, rel=0.1)
    assert abs(float(torch.corrcoef(torch.stack([shake[1:], shake[:-1]]))[0, 1])) < 0.1


def test_implanted_lesions_have_their_sizes_and_lie_apart():
    places = np.zeros((60, 60, 24), bool)
    places[4:-4, 4:-4, 2:-2] = True
    image, mask = motion_real_lesions.implanted(np.full(places.shape, 10.0, np.float32), places)
    assert not (mask & ~places).any()
    small = motion_real_lesions.small_of(mask)
    assert 0 < small.sum() < (mask & ~small).sum()
    assert image[mask].max() == pytest.approx(15, rel=0.01)
