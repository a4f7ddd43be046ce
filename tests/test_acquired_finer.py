import numpy as np
import pytest

from benchmarks.acquired_finer import overshoot, phase_difference


def test_a_lattice_shows_in_the_mean_of_its_phase():
    fine = np.full((8, 8, 8), 100.0)
    assert phase_difference(fine) == 0
    fine[::2, ::2, ::2] *= 1.016
    assert phase_difference(fine) == pytest.approx(0.016 * 7 / 8 / (1 + 0.016 / 8))


def test_what_lies_beyond_all_near_voxels_is_counted():
    coarse = np.arange(4.0)[:, None, None] * np.ones((4, 4, 4)) * 100
    fine = coarse.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    assert overshoot(fine, coarse, 100.0) == 0
    fine[0, 0, 0] = -6  # near are 0 and 100
    fine[7, 0, 0] = 304  # within 5 % of the tissue
    assert overshoot(fine, coarse, 100.0) == pytest.approx(1 / 512)
