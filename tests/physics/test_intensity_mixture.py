import numpy as np
import pytest

from custom.physics.intensity_mixture import IntensityMixture, contrast_map, fit_mixture

BRAIN = IntensityMixture(
    np.array([0.2, 0.45, 0.35]), np.array([0.12, 0.55, 0.85]), np.array([0.07, 0.06, 0.04])
)


def drawn(count: int = 20_000) -> np.ndarray:
    rng = np.random.default_rng(0)
    which = rng.choice(3, count, p=BRAIN.weights)
    return rng.normal(BRAIN.means[which], BRAIN.deviations[which])


def test_a_mixture_is_found_again():
    found = fit_mixture(drawn())
    np.testing.assert_allclose(found.means, BRAIN.means, atol=0.01)
    np.testing.assert_allclose(found.deviations, BRAIN.deviations, atol=0.01)
    np.testing.assert_allclose(found.weights, BRAIN.weights, atol=0.03)


@pytest.mark.parametrize("way", ["transport", "hard", "blended"])
def test_no_change_is_the_identity(way: str):
    curve = contrast_map(BRAIN, np.zeros(3), np.zeros(3), way)
    grid = np.linspace(-0.3, 1.6, 200)
    np.testing.assert_allclose(curve(grid), grid, atol=2e-3)


def test_transport_never_falls_in_a_thousand_draws_and_the_others_do():
    rng = np.random.default_rng(1)
    fallen = {"transport": 0, "hard": 0, "blended": 0}
    for draw in range(1000):
        shifts, widths = rng.uniform(-0.06, 0.06, 3), rng.uniform(-0.01, 0.01, 3)
        for way in fallen:
            if way == "transport" or draw < 50:
                slopes = np.diff(contrast_map(BRAIN, shifts, widths, way).values)
                fallen[way] += bool((slopes < -1e-9).any())
    assert fallen["transport"] == 0
    assert fallen["hard"] > 20
    assert fallen["blended"] > 2


def test_transport_gives_the_wanted_distribution():
    shifts, widths = np.array([0.05, -0.04, 0.03]), np.array([0.01, -0.01, 0.0])
    made = contrast_map(BRAIN, shifts, widths, steepest=50.0)(drawn())
    found = fit_mixture(made)
    np.testing.assert_allclose(found.means, BRAIN.means + shifts, atol=0.012)
    np.testing.assert_allclose(found.deviations, BRAIN.deviations + widths, atol=0.012)


def test_slopes_are_bounded_and_tails_go_on():
    shifts = np.array([-0.06, 0.06, 0.06])
    curve = contrast_map(BRAIN, shifts, np.full(3, -0.01), steepest=2.0)
    slopes = np.diff(curve.values) / np.diff(curve.knots)
    assert slopes.max() <= 2.0 + 1e-9
    assert curve(np.array([2.0])) > curve(np.array([1.5])) > curve(np.array([1.0]))


def test_too_few_values_are_refused():
    with pytest.raises(ValueError, match="too few"):
        fit_mixture(np.arange(20.0))
