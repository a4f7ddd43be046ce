import numpy as np
import pytest
from scipy.interpolate import BSpline

from custom.demo.random_field import Profile, RandomField


def test_unit_variance_on_average():
    field = RandomField(np.random.default_rng(0), (1.0, 1.0, 1.0), (24, 24, 24))
    axis = np.linspace(0, 24, 49)[:-1] + 0.2
    values = field((axis, axis, axis), "xyz")
    assert values.dtype == np.float32
    # About one independent value a coefficient: five standard errors of a variance.
    assert values.var() == pytest.approx(1, abs=5 * np.sqrt(2 / 24**3) * 2)
    assert values.mean() == pytest.approx(0, abs=5 / 24**1.5 * 3)


def test_equals_the_tensor_b_spline_of_scipy():
    spacing = (0.5, 1.0, 2.0)
    field = RandomField(np.random.default_rng(1), spacing, (8, 6, 5))
    spline = BSpline.basis_element(np.arange(-2, 3), extrapolate=False)
    points = [np.array([0.3, 3.9]), np.array([2.2, 7.1, -0.4]), np.array([9.99])]

    def weights(axis):
        size = field.coefficients.shape[axis]
        offset = points[axis][:, None] / spacing[axis] - np.arange(-3 * size, 3 * size)
        return np.nan_to_num(spline(offset)).reshape(len(points[axis]), -1, size).sum(1)

    expected = np.einsum(
        "ijk,ai,bj,ck->abc", field.coefficients, weights(0), weights(1), weights(2)
    )
    np.testing.assert_allclose(field(points, "xyz"), expected, atol=1e-5)
    swapped = field([points[2], points[0], points[1]], "zxy")
    np.testing.assert_allclose(swapped, expected.transpose(2, 0, 1), atol=1e-5)


def test_repeats_after_its_period():
    field = RandomField(np.random.default_rng(2), (1.5, 1.0, 1.0), (6, 5, 4))
    point = (np.array([0.7]), np.array([1.1]), np.array([2.3]))
    moved = (np.array([9.7]), np.array([-3.9]), np.array([6.3]))
    np.testing.assert_allclose(field(point, "xyz"), field(moved, "xyz"), atol=1e-5)


def test_profile_passes_through_its_knots_and_stays_between_them():
    profile = Profile((-3.0, 0.0, 1.0, 5.0), (2.0, 1.0, 1.0, 4.0))
    at = profile(np.array([-9.0, -3.0, 0.0, 1.0, 5.0, 9.0], np.float32))
    np.testing.assert_allclose(at, [2, 2, 1, 1, 4, 4], atol=0.03)
    fine = profile(np.linspace(-3, 5, 500).astype(np.float32))
    assert fine.min() >= 1 - 1e-6
    assert fine.max() <= 4 + 1e-6


def test_wrong_arguments_are_named():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="spacing_mm must be positive"):
        RandomField(rng, (1, 0, 1))
    with pytest.raises(ValueError, match="size must be at least 4"):
        RandomField(rng, (1, 1, 1), (8, 3, 8))
