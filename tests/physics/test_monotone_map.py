import numpy as np
import pytest

from custom.physics.monotone_map import fit_monotone_map


def test_a_monotone_curve_is_found_again():
    source = np.random.default_rng(0).uniform(0, 1, 50_000)
    curve = fit_monotone_map(source, source**3)
    grid = np.linspace(0.02, 0.98, 50)
    np.testing.assert_allclose(curve(grid), grid**3, atol=2e-3)


def test_it_never_falls_and_of_a_falling_relation_the_mean_is_left():
    source = np.random.default_rng(0).uniform(0, 1, 5000)
    curve = fit_monotone_map(source, -source)
    np.testing.assert_allclose(curve(np.linspace(0, 1, 9)), -source.mean(), atol=1e-6)
    noisy = fit_monotone_map(source, source + np.random.default_rng(1).normal(0, 1, 5000))
    assert (np.diff(noisy.values) >= 0).all()


def test_no_other_monotone_curve_of_the_bins_is_nearer():
    rng = np.random.default_rng(2)
    source = rng.uniform(0, 1, 2000)
    target = np.sin(6 * source) + rng.normal(0, 0.2, 2000)
    curve = fit_monotone_map(source, target)

    def error(values):
        return np.square(np.interp(source, curve.knots, values) - target).mean()

    for _ in range(50):
        other = np.maximum.accumulate(curve.values + rng.normal(0, 0.05, curve.values.size))
        assert error(other) > error(curve.values) - 1e-4


def test_voxels_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="two equal lists"):
        fit_monotone_map(np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match="two equal lists"):
        fit_monotone_map(np.zeros(0), np.zeros(0))
