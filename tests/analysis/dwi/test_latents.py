import pytest
import torch
from torch import Generator
from torch.distributions import Normal, kl_divergence

from custom.analysis.dwi.latents import divergence_of_each, latent_rows, measure_latents
from custom.networks.nets.signal_autoencoder import SignalAutoencoder


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def signals(count=200):
    clean = torch.rand(count, 32, generator=Generator().manual_seed(0))
    return clean + 0.1 * torch.randn(clean.shape, generator=Generator().manual_seed(1)), clean


def test_divergence_of_each_latent_is_torch_s():
    mean, log_variance = torch.randn(2, 50, 3, generator=Generator().manual_seed(0))
    torch_s = kl_divergence(Normal(mean, (0.5 * log_variance).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(divergence_of_each(mean, log_variance), torch_s.mean(0))


def test_a_latent_that_the_decoder_ignores_adds_nothing():
    network = SignalAutoencoder(latent=3).double()
    with torch.no_grad():
        network.decoder[0].weight[:, 1] = 0
    found = measure_latents("some", network, *signals())
    rounding = 1e-14
    assert abs(float(found.contribution[1])) < rounding
    assert float(found.changes[1].abs().max()) < rounding
    assert (found.contribution[[0, 2]].abs() > 1e3 * rounding).all()
    assert (found.changes[[0, 2]].abs().amax((1, 2)) > 1e3 * rounding).all()


def test_contribution_by_hand():
    """A decoder that gives sigmoid(sum of latents) everywhere, and one latent of known spread."""
    network = SignalAutoencoder(2, (2, 2, 2), latent=1, kind="linear")
    noisy = torch.tensor([[0.0, 0.0], [2.0, 2.0]])
    with torch.no_grad():
        for part in (*network.encoder, *network.decoder):
            if isinstance(part, torch.nn.Linear):
                part.weight.copy_(torch.eye(*part.weight.shape))
                part.bias.zero_()
        network.mean.weight.copy_(torch.tensor([[1.0, 0.0]]))
        network.mean.bias.zero_()
        network.output.weight.copy_(torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
        network.output.bias.zero_()
    decoded = network(noisy).detach()  # sigmoid of 0 and of 2
    found = measure_latents("some", network, noisy, decoded)
    assert found.error == 0
    middle = torch.sigmoid(torch.tensor(1.0))
    expected = (torch.sigmoid(torch.tensor([0.0, 2.0])) - middle).square().mean()
    assert float(found.contribution) == pytest.approx(float(expected))
    spread = 2**0.5  # of 0 and 2
    torch.testing.assert_close(
        found.changes[0, -1], torch.sigmoid(torch.tensor([1 + 2 * spread] * 2)) - middle
    )
    assert float(found.changes[0, 4].abs().max()) == 0  # no shift


def test_a_collapsed_latent_is_not_active():
    network = SignalAutoencoder(latent=2)
    with torch.no_grad():
        network.mean.weight[0] = 0
        network.mean.bias[0] = 0
        network.log_variance.weight[0] = 0
        network.log_variance.bias[0] = 0
        network.mean.bias[1] = 1
    found = measure_latents("some", network, *signals())
    assert found.active.tolist() == [False, True]
    assert float(found.divergence[0]) == 0
    rows = latent_rows(found)
    assert [row["latent"] for row in rows if not row["active"]] == [0]
    assert rows[0]["contribution"] >= rows[1]["contribution"]


def test_plain_latents_have_no_divergence():
    found = measure_latents("some", SignalAutoencoder(kind="relu"), *signals())
    assert found.divergence is None
    assert float(found.posterior_std.abs().max()) == 0
    dead = found.means.std(0) == 0
    assert found.active.tolist() == (~dead).tolist()
    assert (found.contribution[dead] == 0).all()
