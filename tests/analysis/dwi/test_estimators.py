import numpy as np
import pytest
import torch
from torch import Generator

from custom.analysis.dwi.estimators import (
    classical_estimators,
    network_estimator,
    refit,
    restore_scaled,
)
from custom.errors import InputError
from custom.networks.nets.signal_autoencoder import SignalAutoencoder
from custom.networks.nets.tensor_informed_denoiser import TensorInformedDenoiser
from custom.physics.diffusion.gradient_table import published_scheme
from custom.physics.diffusion.noise import ClippedGaussianNoise
from custom.physics.diffusion.priors import BoxPrior, EigenvaluePrior


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


TABLE = published_scheme()


def noiseless(count=20):
    # Inside of the box, so that no fit is cut; above the floor of the logarithm.
    drawn = EigenvaluePrior(0.2, 1.2).draw(count, TABLE.b_rows, Generator().manual_seed(0))
    assert drawn.signal.min() > 0.02
    return drawn


class Told(torch.nn.Module):
    """Gives signals times two and the noise level as their deviation; remembers its input."""

    with_sigma = True

    def __init__(self, rule=0):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.register_buffer("b_rows", TABLE.b_rows)
        self.register_buffer("scale_rule", torch.tensor(rule))

    def forward(self, signals, sigma):
        self.seen = signals
        return torch.cat([2 * signals, sigma.expand_as(signals)], 1)


@pytest.mark.parametrize("index", range(5))
def test_without_noise_every_estimator_is_exact(index):
    drawn = noiseless()
    estimator = classical_estimators(TABLE)[index]
    found = estimator.estimate(drawn.signal, torch.zeros(20, 1))
    torch.testing.assert_close(found.signal, drawn.signal, atol=1e-5, rtol=0)
    tensor = refit(found.signal, TABLE.b_rows) if found.tensor is None else found.tensor
    torch.testing.assert_close(tensor, drawn.tensor, atol=3e-5, rtol=0)


def test_fits_keep_to_what_is_known():
    rng = Generator().manual_seed(0)
    noisy = ClippedGaussianNoise().add(
        BoxPrior().draw(2000, TABLE.b_rows, rng).signal, torch.full((2000, 1), 0.9), rng
    )
    for estimator in classical_estimators(TABLE, 0)[1:]:
        found = estimator.estimate(noisy, torch.full((2000, 1), 0.9))
        assert found.signal.max() <= 1
    assert found.tensor[:, :3].min() >= 0
    assert found.tensor[:, 3:].abs().max() <= 1


def test_a_network_is_told_the_noise_and_gives_signals_and_deviations():
    signals, sigma = torch.rand(3, 32), torch.tensor([[0.1], [0.2], [0.3]])
    found = network_estimator(Told(), TABLE)(signals, sigma)
    torch.testing.assert_close(found.signal, 2 * signals)
    torch.testing.assert_close(found.deviation, sigma.expand(3, 32))


def test_scaling_is_undone_in_signals_and_deviations():
    signals, sigma, network = torch.rand(3, 32) + 0.2, torch.full((3, 1), 0.1), Told()
    scale = torch.tensor([0.5, 2.0, 0.0])
    found = restore_scaled(network, signals, sigma, scale)
    torch.testing.assert_close(found.signal, 2 * signals)
    torch.testing.assert_close(found.deviation, sigma.expand(3, 32))
    torch.testing.assert_close(network.seen[1], signals[1] / 2)
    torch.testing.assert_close(network.seen[2], signals[2] / 0.05)  # the least scale


def test_a_network_is_given_the_scale_of_its_training():
    signals, network = torch.rand(3, 32) + 0.2, Told(rule=1)
    network_estimator(network, TABLE)(signals, torch.ones(3, 1))
    mean = signals[:, torch.from_numpy(TABLE.unweighted)].mean(1, keepdim=True)
    torch.testing.assert_close(network.seen, signals / mean)


def test_heads_are_told_apart():
    signals, sigma = torch.rand(4, 32), torch.full((4, 1), 0.1)
    tensor = TensorInformedDenoiser(head="tensor")
    tensor.b_rows.copy_(TABLE.b_rows)
    found = network_estimator(tensor, TABLE)(signals, sigma)
    assert found.signal is None
    assert found.tensor.shape == found.deviation.shape == (4, 6)
    plain = SignalAutoencoder()
    plain.b_rows.copy_(TABLE.b_rows)
    found = network_estimator(plain, TABLE)(signals, sigma)
    torch.testing.assert_close(found.signal, plain(signals))
    assert found.tensor is None
    assert found.deviation is None


def test_a_network_for_another_protocol_is_refused():
    network = Told()
    network.b_rows = network.b_rows.flip(0)
    with pytest.raises(InputError, match="protocol"):
        network_estimator(network, TABLE)


def test_weighted_fits_are_dipy_s():
    drawn = noiseless()
    rng = Generator().manual_seed(1)
    noisy = ClippedGaussianNoise().add(drawn.signal, torch.full((20, 1), 0.05), rng)
    by_name = {item.name: item.estimate for item in classical_estimators(TABLE)}
    found = by_name["DIPY WLS"](noisy, torch.zeros(20, 1)).tensor
    from custom.physics.diffusion.tensor_fit import fit_log_linear

    ours = fit_log_linear(noisy, TABLE.b_rows, scale_known=False)[0]
    np.testing.assert_allclose(found, ours, atol=2e-4)
