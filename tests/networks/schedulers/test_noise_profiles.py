from fractions import Fraction

import numpy as np
import pytest
import torch
from parabola import parabola_variance
from scipy.signal import windows

from custom.networks.schedulers.noise_profiles import NOISE_PROFILES, noise_profile

REFERENCES = {
    "parabola": lambda steps: 1 - np.linspace(-1, 1, steps + 1) ** 2,
    "sine": lambda steps: np.sin(np.pi * np.linspace(0, 1, steps + 1)),
    "cosine_bell": lambda steps: windows.hann(steps + 1),
    "triangle": lambda steps: windows.bartlett(steps + 1),
    "constant": lambda steps: windows.boxcar(steps + 1),
}


def test_every_profile_has_a_reference():
    assert set(REFERENCES) == set(NOISE_PROFILES)


@pytest.mark.parametrize("num_steps", [2, 7, 100])
@pytest.mark.parametrize("name", NOISE_PROFILES)
def test_profiles_are_the_windows_of_scipy(name, num_steps):
    profile = noise_profile(name, num_steps)
    assert profile.dtype == torch.float64
    np.testing.assert_allclose(profile.numpy(), REFERENCES[name](num_steps), atol=1e-15)


@pytest.mark.parametrize("name", sorted(set(NOISE_PROFILES) - {"constant"}))
def test_profiles_end_at_exactly_zero(name):
    profile = noise_profile(name, 100)
    assert profile[0] == 0
    assert profile[-1] == 0
    assert profile.max() == 1


@pytest.mark.parametrize("num_steps", [2, 3, 10, 100])
def test_parabola_variance_is_the_sum_in_exact_arithmetic(num_steps):
    links = [
        (4 * Fraction(s, num_steps) * (1 - Fraction(s, num_steps))) ** 2
        for s in range(num_steps + 1)
    ]
    expected = [float(sum(links[: t + 1]) * 9) for t in range(num_steps + 1)]
    actual = parabola_variance(torch.arange(num_steps + 1), num_steps, sigma=3)
    np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-11)


@pytest.mark.parametrize("num_steps", [2, 10, 1000])
def test_parabola_variance_of_the_end(num_steps):
    actual = parabola_variance(torch.tensor([num_steps]), num_steps, sigma=0.5)
    expected = 0.25 * 8 / 15 * (num_steps**4 - 1) / num_steps**3
    np.testing.assert_allclose(actual.numpy(), [expected], rtol=1e-11)


@pytest.mark.parametrize(
    ("name", "num_steps", "message"),
    [("gauss", 10, "noise_profile .* parabola.*'gauss'"), ("sine", 1, "num_steps .*least 2.*1")],
)
def test_bad_arguments_are_named(name, num_steps, message):
    with pytest.raises(ValueError, match=message):
        noise_profile(name, num_steps)
