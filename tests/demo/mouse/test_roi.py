import numpy as np
import pytest

from custom.demo.mouse.roi import disc_masks, largest_disc


def test_the_disc_of_a_square_touches_its_sides():
    region = np.zeros((40, 40), bool)
    region[5:26, 10:31] = True
    disc = largest_disc(region, 99)
    assert not (disc & ~region).any()
    rows, columns = np.nonzero(disc)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (5, 25, 10, 30)
    assert disc.sum() == pytest.approx(np.pi * 10.5**2, rel=0.03)


def test_the_radius_is_limited_and_the_border_respected():
    disc = largest_disc(np.ones((21, 21), bool), 4)
    assert disc.sum() == 49  # lattice points within radius 4
    assert not largest_disc(np.zeros((5, 5), bool), 3).any()
    assert largest_disc(np.ones((9, 9), bool), 99).sum() < 81


def test_the_first_organ_that_is_large_enough_is_drawn():
    codes = np.zeros((30, 30, 2), np.uint8)
    codes[:3, :3, 0] = 5
    codes[5:20, 5:20, 1] = 6
    codes[22:30, :, :] = 9
    organ, mask = disc_masks(codes, [5, 6], 9, 5, min_pixels=10)
    assert organ == 6
    assert set(np.unique(codes[mask == 1])) == {6}
    assert set(np.unique(codes[mask == 2])) == {9}
    assert not (mask[..., 0] == 1).any()
    assert (mask[..., 0] == 2).any()


def test_without_a_large_organ_none_is_drawn():
    codes = np.zeros((10, 10, 1), np.uint8)
    organ, mask = disc_masks(codes, [3, 4], 9, 5, min_pixels=4)
    assert organ == 3
    assert not mask.any()
    with pytest.raises(ValueError, match="candidates"):
        disc_masks(codes, [], 9, 5, 4)
