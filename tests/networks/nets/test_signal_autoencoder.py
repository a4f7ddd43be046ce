"""The study's autoencoders: their layers, their latents, and what they remember."""

import pytest
import torch

from custom.losses.signal_losses import VariationalLoss
from custom.networks.nets.signal_autoencoder import SignalAutoencoder
from custom.physics.diffusion.gradient_table import published_scheme
from custom.physics.diffusion.noise import ClippedGaussianNoise, MixedLevels
from custom.physics.diffusion.priors import BoxPrior
from custom.physics.diffusion.simulation import SignalSimulation

KINDS = ("variational", "relu", "linear")


def simulation():
    return SignalSimulation(published_scheme(), BoxPrior(), ClippedGaussianNoise(), MixedLevels())


def network(kind="variational", **settings):
    torch.manual_seed(0)
    return SignalAutoencoder(kind=kind, **settings)


@pytest.mark.parametrize("kind", KINDS)
def test_it_has_the_published_layers(kind):
    shapes = [tuple(p.shape) for p in network(kind).parameters() if p.ndim == 2]
    latents = [(7, 13)] * (2 if kind == "variational" else 1)
    down, up = [(25, 32), (19, 25), (13, 19)], [(13, 7), (19, 13), (25, 19), (32, 25)]
    assert sorted(shapes) == sorted([*down, *latents, *up])


@pytest.mark.parametrize("kind", KINDS)
def test_signals_come_out_between_none_and_all(kind):
    restored = network(kind)(20 * torch.randn(50, 32))
    assert restored.shape == (50, 32)
    assert ((restored >= 0) & (restored <= 1)).all()


def test_samples_have_the_moments_of_the_latents():
    """A decoder that passes latents on shows them: their mean and variance are those encoded."""
    net = network(hidden=(8, 8, 8), latent=2)
    signal = torch.rand(1, 32)
    mean, log_variance = net.encode(signal)
    seen = {}
    net.decode = lambda latents: seen.setdefault("latents", latents)
    net(signal.expand(40_000, 32), sample=True)
    std = (0.5 * log_variance).exp()
    error = 5 * std / 200
    assert ((seen["latents"].mean(0) - mean).abs() < error).all()
    assert ((seen["latents"].std(0) / std - 1).abs() < 5 / (2 * 40_000) ** 0.5).all()


def test_latents_follow_the_signals():
    net = network()
    signals = torch.rand(4, 32)
    everything = net(signals, with_latents=True)
    mean, log_variance = net.encode(signals)
    assert torch.equal(everything, torch.cat([net(signals), mean, log_variance], 1))


def test_plain_latents_are_rectified_or_not_and_never_drawn():
    signals = torch.rand(200, 32)
    assert (network("relu").encode(signals)[0] >= 0).all()
    assert (network("linear").encode(signals)[0] < 0).any()
    net = network("linear")
    assert torch.equal(net(signals, sample=True), net(signals))


def test_it_remembers_its_protocol_and_refuses_another():
    net = network().fit_to(simulation())
    state = net.state_dict()
    assert torch.equal(state["b_rows"], published_scheme().b_rows)
    assert int(state["scale_rule"]) == 0
    with pytest.raises(ValueError, match="num_measurements"):
        network(num_measurements=30).fit_to(simulation())


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_a_batch_by_heart(kind):
    net = network(kind)
    loss = VariationalLoss(kld_weight=0.0)
    made = simulation().draw(16, torch.Generator().manual_seed(0))
    target = torch.cat([made["label"], made["sigma"]], 1)
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    values = []
    for _ in range(400):
        value = loss(net(made["image"], with_latents=kind == "variational"), target)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[-1] < 0.1 * values[0]


@pytest.mark.parametrize("kind", KINDS)
def test_it_exports_to_torchscript(kind):
    net = network(kind).eval()
    signals = torch.rand(5, 32)
    torch.testing.assert_close(torch.jit.script(net)(signals), net(signals))


def test_settings_are_refused():
    with pytest.raises(ValueError, match="latent"):
        SignalAutoencoder(latent=0)
    with pytest.raises(ValueError, match="kind"):
        SignalAutoencoder(kind="sparse")
