import pytest
import torch
from torch import Generator

from custom.analysis.dwi.calibration import calibration, calibration_by_noise, sampling_estimator
from custom.analysis.dwi.estimators import Estimates, SignalEstimator
from custom.analysis.dwi.samples import SignalSamples
from custom.networks.nets.signal_autoencoder import SignalAutoencoder
from custom.physics.diffusion.gradient_table import published_scheme
from custom.physics.diffusion.noise import ClippedGaussianNoise
from custom.physics.diffusion.priors import BoxPrior


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


TABLE = published_scheme()


def predicted(factor):
    rng = Generator().manual_seed(0)
    truth, chance = torch.randn(2, 5000, 8, generator=rng)
    deviation = 0.1 + torch.rand(5000, 8, generator=rng)
    return calibration(truth + deviation * chance, factor * deviation, truth, deviation)


def test_a_perfect_predictor_is_found_perfect():
    found = predicted(1.0)
    # 40,000 errors: five standard errors of the mean of squares, and of the shares.
    assert found["mean_squared_z"] == pytest.approx(1, abs=5 * (2 / 40000) ** 0.5)
    assert found["within_1"] == pytest.approx(0.6827, abs=5 * (0.6827 * 0.3173 / 40000) ** 0.5)
    assert found["within_2"] == pytest.approx(0.9545, abs=5 * (0.9545 * 0.0455 / 40000) ** 0.5)
    assert found["correlation"] == pytest.approx(1)
    assert found["ratio"] == pytest.approx(1)


def test_half_the_deviation_is_four_times_the_squared_error():
    found, right = predicted(0.5), predicted(1.0)
    assert found["mean_squared_z"] == pytest.approx(4 * right["mean_squared_z"])
    assert found["ratio"] == pytest.approx(0.5)
    assert predicted(2.0)["within_1"] == pytest.approx(right["within_2"])


def test_the_posterior_is_calibrated_and_others_are_compared():
    samples = SignalSamples(BoxPrior(), ClippedGaussianNoise(), TABLE.b_rows, 400, draws=8000)
    silent = SignalEstimator("silent", lambda noisy, _: Estimates(noisy))

    def of_tensor(noisy, sigma):
        whole = samples.level(0.5).posterior.whole
        return Estimates(None, whole.tensor, whole.tensor_variance.sqrt())

    rows = calibration_by_noise([silent, SignalEstimator("D", of_tensor)], samples, [0.5])
    assert [(row["estimator"], row["quantity"]) for row in rows] == [
        ("D", "tensor"),
        ("limit", "signal"),
    ]
    for row in rows:
        # 400 signals; the errors of one signal hang together, as six numbers rule them.
        assert row["mean_squared_z"] == pytest.approx(1, abs=5 * (2 / 2400) ** 0.5)
        assert row["correlation"] == pytest.approx(1)
        assert row["ratio"] == pytest.approx(1)


def test_drawn_latents_scatter_as_the_encoder_says():
    network = SignalAutoencoder(latent=2).double()
    with torch.no_grad():
        network.log_variance.weight.zero_()
        network.log_variance.bias.fill_(-14.0)
        for part in network.decoder[::2]:  # no unit is at the kink of its ReLU
            part.bias.fill_(5.0)
            part.weight.abs_()
        network.output.weight.mul_(0.01)  # nor at an end of the sigmoid
    signals = torch.rand(6, 32, generator=Generator().manual_seed(0)).double()
    found = sampling_estimator(network, 4000)(signals, torch.zeros(6, 1))
    mean, _ = network.encode(signals)
    # To the first order, as the latents scatter little: sd^2 = J J^T e^-14.
    jacobian = torch.stack(
        [torch.autograd.functional.jacobian(network.decode, row[None])[0, :, 0] for row in mean]
    )
    expected = (jacobian.square().sum(2) * torch.exp(torch.tensor(-14.0))).sqrt()
    torch.testing.assert_close(found.deviation, expected.float().detach(), rtol=0.06, atol=0)
    torch.testing.assert_close(found.signal, network(signals).float().detach())
