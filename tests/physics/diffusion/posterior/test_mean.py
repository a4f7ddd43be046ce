"""Posterior means against closed forms, by two ways of sampling, and against least squares."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Generator, Tensor

from custom.physics.diffusion.gradient_table import spread_directions
from custom.physics.diffusion.noise import ClippedGaussianNoise, NoiseModel, RicianNoise
from custom.physics.diffusion.posterior.importance_sampling import (
    Moments,
    SeparableLikelihood,
    WeightedSums,
)
from custom.physics.diffusion.posterior.limit import limit_of
from custom.physics.diffusion.posterior.mean import Posterior, PosteriorMean
from custom.physics.diffusion.posterior.own_draws import StudentProposal
from custom.physics.diffusion.priors import BoxPrior, Draw, TensorLattice
from custom.physics.diffusion.tensor import b_matrix, tensor_signal
from custom.physics.diffusion.tensor_fit import clip_to_box, fit_non_linear


def seeded(seed: int = 0) -> Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def b_rows() -> Tensor:
    directions = torch.from_numpy(spread_directions(12))
    bvals = torch.tensor([50.0] + [1000.0] * 12, dtype=torch.float64)
    return b_matrix(bvals, torch.cat([directions[:1], directions])).float()


class LinearPrior:
    """Signals linear in six independent standard Gaussian numbers."""

    num_parameters = 6

    def draw(self, count: int, b_rows: Tensor, generator: Generator) -> Draw:
        numbers = torch.randn(count, 6, generator=generator)
        return Draw(numbers @ b_rows.T, numbers)


class TwoTensors:
    """Two tensors, equally probable."""

    num_parameters = 6

    def tensors(self, b_rows: Tensor) -> Tensor:
        return torch.tensor([[0.8, 0.8, 0.8, 0.0, 0.0, 0.0], [1.7, 0.4, 0.9, 0.3, -0.2, 0.1]])

    def draw(self, count: int, b_rows: Tensor, generator: Generator) -> Draw:
        tensors = self.tensors(b_rows)[torch.randint(2, (count,), generator=generator)]
        return Draw(tensor_signal(tensors, b_rows), tensors)


def linear_posterior(rows: Tensor, noisy: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    covariance = torch.linalg.inv(rows.T @ rows / sigma**2 + torch.eye(6, dtype=torch.float64))
    return noisy @ rows @ covariance / sigma**2, covariance


def test_a_linear_gaussian_case_has_its_known_posterior() -> None:
    rows = 0.3 * torch.randn(8, 6, generator=seeded(1))
    sigma, noise = 0.8, ClippedGaussianNoise(clip=False)
    truth = LinearPrior().draw(40, rows, seeded(2))
    noisy = noise.add(truth.signal, torch.tensor([[sigma]]), seeded(3))
    found = PosteriorMean(LinearPrior(), noise, rows, draws=100_000)(noisy, sigma, seeded(4)).whole
    mean, covariance = linear_posterior(rows.double(), noisy.double(), sigma)
    error = (covariance.diagonal() / found.effective_size.unsqueeze(1)).sqrt()
    assert ((found.tensor - mean).abs() < 5 * error).all()
    variance = (rows.double() @ covariance @ rows.double().T).diagonal()
    error = (variance / found.effective_size.unsqueeze(1)).sqrt()
    assert ((found.signal - mean @ rows.double().T).abs() < 5 * error).all()
    # A variance from a Gaussian sample of size N has the relative error sqrt(2 / N).
    relative = (2 / found.effective_size.unsqueeze(1)).sqrt()
    assert ((found.signal_variance / variance - 1).abs() < 5 * relative).all()
    assert found.effective_size.min() > 1000


def test_the_limit_of_a_linear_gaussian_case_is_its_posterior_variance() -> None:
    rows = 0.3 * torch.randn(8, 6, generator=seeded(1))
    sigma, noise = 0.8, ClippedGaussianNoise(clip=False)
    truth = LinearPrior().draw(1000, rows, seeded())
    noisy = noise.add(truth.signal, torch.full((1000, 1), sigma), seeded(2))
    posterior_mean = PosteriorMean(LinearPrior(), noise, rows, draws=40_000)
    limit = limit_of(truth, posterior_mean(noisy, sigma, seeded(3)))
    _, covariance = linear_posterior(rows.double(), rows.T.double()[:, :8], sigma)
    variance = float((rows.double() @ covariance @ rows.double().T).diagonal().mean())
    assert limit.signal_mse == pytest.approx(variance, abs=5 * limit.signal_mse_se)
    assert limit.signal_variance == pytest.approx(variance, rel=0.01)
    tensor = float(covariance.diagonal().mean())
    assert limit.tensor_mse == pytest.approx(tensor, abs=5 * limit.tensor_mse_se)
    # An estimate from K draws adds about 1 / ESS of the variance to the error.
    assert limit.sampling_share < 5 / limit.ess_median
    assert abs(limit.half_difference) < 0.01


@pytest.mark.parametrize("noise", [ClippedGaussianNoise(), RicianNoise()])
def test_two_tensors_are_weighed_as_by_hand(b_rows: Tensor, noise: NoiseModel) -> None:
    sigma, prior = 0.3, TwoTensors()
    noisy = noise.add(prior.draw(50, b_rows, seeded(1)).signal, torch.tensor(sigma), seeded(2))
    found = PosteriorMean(prior, noise, b_rows)(noisy, sigma, seeded(3))
    signals = tensor_signal(prior.tensors(b_rows), b_rows).double().numpy()
    values = noisy.double().numpy()[:, None]
    if isinstance(noise, RicianNoise):
        logs = stats.rice.logpdf(values, signals / sigma, scale=sigma)
    else:
        density = stats.norm.logpdf(values, signals, sigma)
        logs = np.where(values > 0, density, stats.norm.logcdf(0, signals, sigma))
        assert (noisy == 0).any()
    first, second = logs.sum(2).T
    share = 1 / (1 + np.exp(second - first))[:, None]
    expected = share * signals[0] + (1 - share) * signals[1]
    variance = share * (1 - share) * (signals[0] - signals[1]) ** 2
    assert 0.1 < np.median(np.abs(2 * share - 1)) < 0.999  # neither is certain
    np.testing.assert_allclose(found.whole.signal, expected, atol=1e-5)
    np.testing.assert_allclose(found.whole.signal_variance, variance, atol=1e-5)
    size = 1 / (share**2 + (1 - share) ** 2)[:, 0]
    np.testing.assert_allclose(found.whole.effective_size, size, rtol=1e-3)
    assert found.halves is None


@pytest.mark.parametrize("noise", [ClippedGaussianNoise(), RicianNoise()])
def test_own_and_shared_draws_agree(b_rows: Tensor, noise: NoiseModel) -> None:
    sigma, prior = 0.3, BoxPrior()
    noisy = noise.add(prior.draw(24, b_rows, seeded(1)).signal, torch.tensor(sigma), seeded(2))
    own = PosteriorMean(prior, noise, b_rows, own_below=10.0)(noisy, sigma, seeded(3)).whole
    few = PosteriorMean(prior, noise, b_rows, own_below=0.001, draws=100_000)
    shared = few(noisy, sigma, seeded(4)).whole
    assert min(own.effective_size.min(), shared.effective_size.min()) > 50
    sizes = 1 / own.effective_size + 1 / shared.effective_size
    error = (shared.tensor_variance * sizes.unsqueeze(1)).sqrt()
    assert ((own.tensor - shared.tensor).abs() < 5 * error).all()
    error = (shared.signal_variance * sizes.unsqueeze(1)).sqrt()
    assert ((own.signal - shared.signal).abs() < 5 * error).all()


@pytest.mark.parametrize(("measurements", "border"), [(8, 0.125), (32, 0.25), (128, 0.5)])
def test_signals_have_own_draws_below_a_level_that_grows_with_the_root_of_their_number(
    measurements: int, border: float
) -> None:
    """As the spread of a mean of so many falls; two shared draws cannot weigh more than two."""
    directions = torch.nn.functional.normalize(torch.randn(measurements, 3, generator=seeded(1)))
    rows = b_matrix(torch.full((measurements,), 1000.0), directions)
    prior, noise = BoxPrior(), ClippedGaussianNoise()
    clean = prior.draw(4, rows, seeded(2)).signal
    sizes = [
        PosteriorMean(prior, noise, rows, draws=2, own_draws=200)(clean, sigma, seeded(3))
        .whole.effective_size.max()
        .item()
        for sigma in (0.98 * border, 1.02 * border)
    ]
    assert sizes[1] <= 2 + 1e-6 < 10 < sizes[0]


@pytest.mark.parametrize("sigma", [0.03, 0.1])
def test_it_is_better_than_least_squares_and_knows_its_own_error(
    b_rows: Tensor, sigma: float
) -> None:
    prior, noise = BoxPrior(), ClippedGaussianNoise()
    truth = prior.draw(150, b_rows, seeded(1))
    noisy = noise.add(truth.signal, torch.tensor(sigma), seeded(2))
    posterior = PosteriorMean(prior, noise, b_rows, own_draws=1000)(noisy, sigma, seeded(3))
    limit = limit_of(truth, posterior)
    fitted = clip_to_box(fit_non_linear(noisy, b_rows)[0])
    # Paired, as both are of the same noise.
    for mine, theirs, true in (
        (posterior.whole.tensor, fitted, truth.tensor),
        (posterior.whole.signal, tensor_signal(fitted, b_rows), truth.signal),
    ):
        excess = ((theirs - true).square() - (mine - true).square()).mean(1).double()
        assert excess.mean() > 2 * excess.std() / math.sqrt(len(excess))
    assert limit.signal_mse == pytest.approx(limit.signal_variance, abs=5 * limit.signal_mse_se)
    assert limit.tensor_mse == pytest.approx(limit.tensor_variance, abs=5 * limit.tensor_mse_se)
    assert limit.sampling_share < 0.01


def test_a_lattice_is_summed_exactly(b_rows: Tensor) -> None:
    prior, noise, sigma = TensorLattice(4), ClippedGaussianNoise(), 0.03
    tensors = prior.tensors(b_rows).double()
    signals = tensor_signal(tensors, b_rows.double())
    noisy = noise.add(signals[::150].float(), torch.tensor(sigma), seeded(1))
    found = PosteriorMean(prior, noise, b_rows)(noisy, sigma, seeded(2)).whole
    level = torch.tensor(sigma, dtype=torch.float64)
    logs = noise.log_likelihood(noisy.double().unsqueeze(1), signals, level)
    weights = torch.softmax(logs, 1)
    torch.testing.assert_close(found.tensor, weights @ tensors, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.signal, weights @ signals, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("own_below", [0.001, 10.0])
def test_an_unknown_scale_is_integrated_out(b_rows: Tensor, own_below: float) -> None:
    prior, noise, sigma = BoxPrior(), ClippedGaussianNoise(clip=False), 0.25
    signal = 1.4 * prior.draw(6, b_rows, seeded(1)).signal
    noisy = noise.add(signal, torch.tensor(sigma), seeded(2))
    settings = {"scale_known": False, "own_below": own_below, "draws": 20_000}
    found = PosteriorMean(prior, noise, b_rows, **settings)(noisy, sigma, seeded(3)).whole
    # By summing over a grid of scales instead.
    shared = prior.draw(20_000, b_rows, seeded(3))
    weights, first, second, tensor = 0.0, 0.0, 0.0, 0.0
    for scale in torch.linspace(0.2, 3.5, 67):
        scaled = scale * shared.signal
        weight = noise.log_likelihood(noisy.unsqueeze(1), scaled, torch.tensor(sigma)).exp()
        weights, first = weights + weight, first + weight @ scaled
        second, tensor = second + weight @ scaled.square(), tensor + weight @ shared.tensor
    total = weights.sum(1, keepdim=True)
    mean = first / total
    size = weights.sum(1).square() / weights.square().sum(1)
    error = (second / total - mean.square()) * (1 / size + 1 / found.effective_size).unsqueeze(1)
    # The same shared draws: what is left is the grid's error.
    bound = 0.002 if own_below < 1 else 5 * error.sqrt()
    assert ((found.signal - mean).abs() < bound).all()
    if own_below < 1:
        torch.testing.assert_close(found.tensor.float(), tensor / total, rtol=0, atol=0.005)
        spread = (second / total - mean.square()).double()
        torch.testing.assert_close(found.signal_variance, spread, rtol=0.02, atol=1e-4)


@pytest.mark.parametrize("noise", [ClippedGaussianNoise(), RicianNoise()])
@pytest.mark.parametrize("sigma", [0.05, 0.2, 0.9])
def test_likelihoods_are_those_of_scipy(noise: NoiseModel, sigma: float) -> None:
    signal = torch.rand(30, 5, generator=seeded(1), dtype=torch.float64)
    noisy = noise.add(signal.float(), torch.tensor(sigma), seeded(2)).double()
    values, means = noisy.numpy()[:, None], signal.numpy()
    if isinstance(noise, RicianNoise):
        logs = stats.rice.logpdf(values, means / sigma, scale=sigma)
    else:
        density = stats.norm.logpdf(values, means, sigma)
        logs = np.where(values > 0, density, stats.norm.logcdf(0, means, sigma))
    expected = logs.sum(2)
    level = torch.tensor(sigma, dtype=torch.float64)
    direct = noise.log_likelihood(noisy.unsqueeze(1), signal, level)
    np.testing.assert_allclose(direct, expected, rtol=1e-9)
    separable = SeparableLikelihood(noise, sigma, noisy, signal)
    found = (separable.of_noisy(noisy) @ separable.of_clean(signal).T).numpy()
    difference = found - expected  # but for a number of each noisy signal
    near = expected > expected.max(1, keepdims=True) - 100
    deviation = np.where(near, difference - np.diag(difference)[:, None], 0)
    assert np.abs(deviation).max() < 1e-3


def test_weights_are_summed_in_pieces_as_at_once() -> None:
    logs = 30 * torch.randn(5, 400, generator=seeded(1), dtype=torch.float64)
    logs[:, :100] = -torch.inf
    logs[0] = 2.0
    signal = torch.randn(400, 3, generator=seeded(2), dtype=torch.float64)
    pieces = WeightedSums(5), WeightedSums(5)
    for i, part in enumerate(torch.arange(400).split(50)):
        pieces[i % 2].add(logs[:, part], signal[part], None)
    found = pieces[0].merged(pieces[1]).moments()
    weights = torch.softmax(logs, 1)
    torch.testing.assert_close(found.signal, weights @ signal)
    variance = weights @ signal.square() - (weights @ signal).square()
    torch.testing.assert_close(found.signal_variance, variance, rtol=1e-6, atol=1e-12)
    torch.testing.assert_close(found.effective_size, 1 / weights.square().sum(1))
    assert found.effective_size[0] == pytest.approx(400)  # equal weights


def test_a_proposal_has_the_density_that_it_says() -> None:
    centre = torch.randn(2, 3, generator=seeded(1), dtype=torch.float64)
    root = torch.randn(2, 3, 3, generator=seeded(2), dtype=torch.float64)
    covariance = root @ root.transpose(1, 2) + 0.1 * torch.eye(3, dtype=torch.float64)
    points, logs = StudentProposal(centre, covariance, 5).draw(20_000, seeded(3))
    for i in range(2):
        reference = stats.multivariate_t(centre[i].numpy(), covariance[i].numpy(), df=5)
        difference = reference.logpdf(points[i].numpy()) - logs[i].numpy()
        assert np.ptp(difference) < 1e-9
        # Squared distances over the dimension follow an F distribution.
        inverse = torch.linalg.inv(covariance[i])
        offset = points[i] - centre[i]
        distance = ((offset @ inverse) * offset).sum(1) / 3
        assert stats.kstest(distance.numpy(), stats.f(3, 5).cdf).pvalue > 1e-4


def test_the_share_of_sampling_is_that_of_the_draws() -> None:
    """A posterior made of the truth and known errors: what is due to draws is told apart."""
    signal = torch.zeros(4000, 2, dtype=torch.float64)
    scatter = torch.randn(2, 4000, 2, generator=seeded(1), dtype=torch.float64)
    error = torch.randn(4000, 2, generator=seeded(2), dtype=torch.float64)
    ones = torch.ones(4000, dtype=torch.float64)

    def moments(value: Tensor) -> Moments:
        return Moments(value, value.square(), None, None, ones)

    halves = moments(error + scatter[0]), moments(error + scatter[1])
    limit = limit_of(Draw(signal, None), Posterior(moments(error + scatter.mean(0)), halves))
    # Errors of variance 1, of draws 1 / 2 with all and 1 with half of them.
    assert limit.signal_mse == pytest.approx(1.5, abs=5 * limit.signal_mse_se)
    assert limit.sampling_share == pytest.approx(1 / 3, abs=0.03)
    assert limit.half_difference == pytest.approx(1 / 3, abs=0.05)
    assert limit.tensor_mse is None


def test_what_cannot_be_is_refused(b_rows: Tensor) -> None:
    with pytest.raises(ValueError, match="unknown scale"):
        PosteriorMean(BoxPrior(), RicianNoise(), b_rows, scale_known=False)
    with pytest.raises(ValueError, match="sigma"):
        PosteriorMean(BoxPrior(), RicianNoise(), b_rows)(torch.ones(3, len(b_rows)), 0.0, seeded())
