import numpy as np
import pytest
import torch
from scipy.stats import kstest, norm, rice

from custom.physics.diffusion.noise import (
    ClippedGaussianNoise,
    MixedLevels,
    PublishedLevels,
    RicianNoise,
    move_floor,
)

COUNT = 200_000


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def sample(noise, signal, sigma, seed=0):
    """Many noisy values of one signal, in double precision."""
    signals, sigmas = torch.full((COUNT // 10, 10), signal), torch.full((COUNT // 10, 1), sigma)
    return noise.add(signals, sigmas, seeded(seed)).double().numpy().ravel()


def compare(values, mean, variance):
    """Mean and variance of a sample, within five standard errors."""
    assert abs(values.mean() - mean) < 5 * np.sqrt(variance / COUNT)
    deviation = (values - mean) ** 2
    assert abs(deviation.mean() - variance) < 5 * deviation.std() / np.sqrt(COUNT)


@pytest.mark.parametrize(("signal", "sigma"), [(0.5, 0.04), (0.3, 0.3), (0.02, 0.9), (0.0, 0.5)])
def test_cut_noise_has_its_moments(signal, sigma):
    values = sample(ClippedGaussianNoise(), signal, sigma)
    ratio = signal / sigma
    mean = signal * norm.cdf(ratio) + sigma * norm.pdf(ratio)
    square = (signal**2 + sigma**2) * norm.cdf(ratio) + signal * sigma * norm.pdf(ratio)
    compare(values, mean, square - mean**2)
    assert values.min() >= 0
    cut = norm.cdf(-ratio)
    assert abs((values == 0).mean() - cut) <= 5 * np.sqrt(cut * (1 - cut) / COUNT)
    compare(sample(ClippedGaussianNoise(clip=False), signal, sigma), signal, sigma**2)


@pytest.mark.parametrize(("signal", "sigma"), [(0.5, 0.04), (0.3, 0.3), (0.02, 0.9), (0.0, 0.5)])
def test_magnitudes_have_rice_s_distribution(signal, sigma):
    values = sample(RicianNoise(), signal, sigma)
    law = rice(signal / sigma, scale=sigma)
    compare(values, law.mean(), law.var())
    assert kstest(values[:20_000], law.cdf).pvalue > 1e-4


@pytest.mark.parametrize("noise", [ClippedGaussianNoise(), RicianNoise()])
def test_noise_is_independent_and_seeded(noise):
    signal, sigma = torch.full((5000, 8), 0.8), torch.full((5000, 1), 0.05)
    one, same, other = (noise.add(signal, sigma, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    correlation = np.corrcoef(one.T)[~np.eye(8, dtype=bool)]
    assert np.abs(correlation).max() < 5 / np.sqrt(5000)
    assert (signal == 0.8).all()  # what was given is left alone
    torch.testing.assert_close(noise.add(signal, 0 * sigma, seeded()), signal)


def test_each_signal_has_its_own_deviation():
    signal, sigma = torch.full((3, 50_000), 5.0), torch.tensor([[0.1], [0.5], [0.0]])
    for noise in (ClippedGaussianNoise(), RicianNoise()):
        noisy = noise.add(signal, sigma, seeded())
        found = noisy.std(1, keepdim=True)
        assert ((found - sigma).abs() <= 5 * sigma / np.sqrt(1e5) + 0.004 * sigma).all()


def test_likelihood_of_cut_noise_is_scipy_s():
    rng = np.random.default_rng(0)
    noisy = np.maximum(rng.normal(0.2, 0.5, (50, 6)), 0)
    signal, sigma = rng.uniform(0, 1, (50, 6)), rng.uniform(0.02, 0.9, (50, 1))
    assert (noisy == 0).any()
    density = norm.logpdf(noisy, signal, sigma)
    cut = np.where(noisy > 0, density, norm.logcdf(0, signal, sigma))
    given = [torch.from_numpy(array) for array in (noisy, signal, sigma)]
    np.testing.assert_allclose(
        ClippedGaussianNoise().log_likelihood(*given), cut.sum(1), rtol=1e-10
    )
    np.testing.assert_allclose(
        ClippedGaussianNoise(clip=False).log_likelihood(*given), density.sum(1), rtol=1e-10
    )


def test_likelihood_of_magnitudes_is_scipy_s():
    rng = np.random.default_rng(0)
    signal, sigma = rng.uniform(0, 1, (50, 6)), rng.uniform(0.02, 0.9, (50, 1))
    noisy = rice.rvs(signal / sigma, scale=sigma, random_state=rng)
    expected = rice.logpdf(noisy, signal / sigma, scale=sigma).sum(1)
    given = [torch.from_numpy(array) for array in (noisy, signal, sigma)]
    np.testing.assert_allclose(RicianNoise().log_likelihood(*given), expected, rtol=1e-9)


@pytest.mark.parametrize("noise", [ClippedGaussianNoise(), RicianNoise()])
def test_likelihoods_add_up_to_one(noise):
    grid = torch.linspace(1e-9, 6, 60_001, dtype=torch.float64)
    for signal, sigma in ((0.8, 0.1), (0.1, 0.4)):
        wide = [torch.tensor([value], dtype=torch.float64) for value in (signal, sigma)]
        density = noise.log_likelihood(grid[:, None], *wide).exp()
        mass = torch.trapezoid(density, grid).item()
        if isinstance(noise, ClippedGaussianNoise):
            zero = torch.zeros(1, dtype=torch.float64)
            mass += noise.log_likelihood(zero, *wide).exp().item()
        assert mass == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("noise", [ClippedGaussianNoise(), RicianNoise()])
def test_likelihoods_broadcast_signals_against_draws(noise):
    noisy, drawn = torch.rand(4, 1, 6), torch.rand(1, 5, 6)
    sigma = torch.rand(4, 1, 1) + 0.1
    found = noise.log_likelihood(noisy, drawn, sigma)
    assert found.shape == (4, 5)
    alone = noise.log_likelihood(noisy[2, 0], drawn[0, 3], sigma[2, 0])
    torch.testing.assert_close(found[2, 3], alone)


@pytest.mark.parametrize("noise", [ClippedGaussianNoise(), RicianNoise()])
@pytest.mark.parametrize("noisy", [0.0, 1e-6, 1.0, 5.0])
@pytest.mark.parametrize("sigma", [1e-4, 0.01])
def test_likelihoods_stay_finite_in_single_precision(noise, noisy, sigma):
    signal = torch.tensor([[0.0], [1e-3], [1.0]])
    found = noise.log_likelihood(torch.tensor([noisy]), signal, torch.tensor([sigma]))
    assert torch.isfinite(found).all()


def test_likelihoods_of_weak_noise_in_single_precision():
    signal, noisy, sigma = (np.array([value]) for value in (0.9, 0.9002, 1e-4))
    given = [torch.from_numpy(array).float() for array in (noisy, signal, sigma)]
    expected = rice.logpdf(noisy, signal / sigma, scale=sigma)
    assert RicianNoise().log_likelihood(*given).item() == pytest.approx(expected[0], abs=0.01)
    expected = norm.logpdf(noisy, signal, sigma)
    found = ClippedGaussianNoise().log_likelihood(*given).item()
    assert found == pytest.approx(expected[0], abs=0.01)


def test_the_published_levels():
    expected = [0.0, *np.arange(4, 92, 3) / 100]
    levels = PublishedLevels()
    assert len(expected) == 31
    np.testing.assert_allclose(levels.values, expected, atol=1e-7)
    drawn = levels.draw(310_000, seeded())
    assert drawn.shape == (310_000, 1)
    counts = (drawn == levels.values).sum(0).double()
    assert ((counts - 10_000).abs() < 5 * 100).all()
    np.testing.assert_allclose(PublishedLevels(2).values, [0, 0.04, 0.07], atol=1e-7)


@pytest.mark.parametrize("clean", [0.0, 0.3, 1.0])
def test_mixed_levels_have_their_moments(clean):
    low, high = 0.02, 0.8
    drawn = MixedLevels(low, high, clean).draw(COUNT, seeded()).double().numpy()
    assert drawn.shape == (COUNT, 1)
    width = np.log(high / low)
    logarithmic = (high - low) / width, (high**2 - low**2) / (2 * width)
    uniform = high / 2, high**2 / 3
    mean, square = ((1 - clean) / 2 * (a + b) for a, b in zip(logarithmic, uniform, strict=True))
    if clean < 1:
        compare(drawn, mean, square - mean**2)
    assert abs((drawn == 0).mean() - clean) <= 5 * np.sqrt(clean * (1 - clean) / COUNT)
    assert drawn.max() <= high * (1 + 1e-6)
    # Below `low` only the uniform half draws.
    weak = (1 - clean) / 2 * low / high
    found = ((drawn > 0) & (drawn < low)).mean()
    assert abs(found - weak) <= 5 * np.sqrt(weak * (1 - weak) / COUNT)


@pytest.mark.parametrize("levels", [PublishedLevels(), MixedLevels()])
def test_levels_are_seeded(levels):
    one, same, other = (levels.draw(100, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: PublishedLevels(0), "levels must be at least 1"),
        (lambda: MixedLevels(lowest=0.0), "lowest must be positive"),
        (lambda: MixedLevels(lowest=0.5, highest=0.5), "lowest must be below highest"),
        (lambda: MixedLevels(clean_share=1.1), "clean_share must be between 0 and 1"),
        (lambda: MixedLevels(clean_share=-0.1), "clean_share must be between 0 and 1"),
    ],
)
def test_wrong_settings_are_named(make, said):
    with pytest.raises(ValueError, match=said):
        make()


@pytest.mark.parametrize("noise", [RicianNoise(), ClippedGaussianNoise()])
@pytest.mark.parametrize(("signal", "level"), [(0.0, 0.05), (0.1, 0.05), (0.4, 0.2), (4.0, 0.1)])
def test_an_average_gets_the_floor_of_weaker_noise(noise, signal, level):
    one = torch.ones(1, 1)
    averages = (sample(noise, signal, sigma).mean() for sigma in (0.2, level))
    strong, weak = (torch.full((1, 1), mean) for mean in averages)
    found = move_floor(noise, strong, 0.2 * one, level * one)
    # Near no signal the mean hardly changes with it, and so a mean's error is enlarged.
    torch.testing.assert_close(found, weak, rtol=0, atol=0.02 if signal < 0.2 else 0.003)


def test_without_noise_there_is_no_floor():
    values = torch.tensor([[0.0, 0.5]])
    none = torch.zeros(1, 1)
    assert torch.equal(move_floor(RicianNoise(), values, none, none), values)
