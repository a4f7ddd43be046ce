import pytest
import torch
from torch.nn import functional as F

from custom.networks.initialisation import kaiming_init
from custom.networks.nets.residual_dense_generator import ResidualDenseGenerator

SMALL = {"channels": 4, "growth": 3, "num_blocks": 1, "dense_blocks": 2, "convs": 3}


def made(seed=0, **changes):
    """A small generator whose every weight matters."""
    generator = torch.Generator().manual_seed(seed)
    network = ResidualDenseGenerator(**{**SMALL, **changes}).double().eval()
    kaiming_init(network, generator=generator)
    with torch.no_grad():
        network.head.output.weight *= 100
        for parameter in network.parameters():
            if parameter.ndim == 1:
                parameter.normal_(0, 0.1, generator=generator)
    return network


def noise(*shape, seed=1):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_published_size():
    network = ResidualDenseGenerator(channels=64, growth=64)
    assert sum(parameter.numel() for parameter in network.parameters()) == 16_042_881
    # 1 + 45 + 1 + 1 convolutions on the coarse grid, two on the fine one.
    assert network.receptive_radius == 49


@pytest.mark.parametrize("scale", [1, 2, 3])
@pytest.mark.parametrize(("dense_blocks", "convs"), [(1, 2), (1, 3)])
def test_receptive_radius_is_the_reach_of_the_gradient(scale, dense_blocks, convs):
    network = made(channels=2, growth=2, dense_blocks=dense_blocks, convs=convs, scale=scale)
    radius = network.receptive_radius
    size = 2 * radius + 3
    x = noise(1, 1, size, 3, 3).requires_grad_()
    centre = radius + 1
    output = network(x)[0, 0, scale * centre : scale * (centre + 1)]
    output.sum().backward()
    reached = x.grad[0, 0].abs().amax((1, 2)).nonzero().flatten()
    assert (reached.min(), reached.max()) == (centre - radius, centre + radius)


@pytest.mark.parametrize("slab", [1, 3, 16])
@pytest.mark.parametrize("scale", [1, 2, 3])
def test_slabs_do_not_change_the_result(slab, scale):
    x = noise(2, 1, 9, 4, 3)
    network = made(slab=slab, scale=scale)
    with torch.no_grad():
        by_slabs = network(x)
    torch.testing.assert_close(by_slabs, network(x).detach())


def test_channels_last_does_not_change_the_result():
    x = noise(1, 1, 6, 5, 4)
    network = made()
    expected = network(x)
    network.to(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(network(x), expected)


@pytest.mark.parametrize("degradation", ["linear", "kspace", "nearest"])
def test_script_keeps_the_result(degradation):
    network = made(degradation=degradation, slab=2)
    x = noise(1, 1, 7, 4, 5)
    with torch.no_grad():
        torch.testing.assert_close(torch.jit.script(network)(x), network(x))


def test_untrained_network_is_near_trilinear():
    network = ResidualDenseGenerator(**SMALL)
    kaiming_init(network, generator=torch.Generator().manual_seed(5))
    x = noise(1, 1, 8, 8, 8).float()
    trilinear = F.interpolate(x, scale_factor=2, mode="trilinear")
    with torch.no_grad():
        change = network(x) - trilinear
    assert 0 < change.std() < 0.05 * trilinear.std()


def test_every_parameter_is_trained():
    network = made()
    network(noise(1, 1, 4, 4, 4)).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_learns_the_fine_grid():
    """A fine pattern that no interpolation holds: which of two neighbours is brighter."""
    torch.manual_seed(0)
    network = ResidualDenseGenerator(8, 4, 1, 1, 2)
    coarse = noise(1, 1, 4, 4, 4).float()
    fine = coarse.repeat_interleave(2, 2).repeat_interleave(2, 3).repeat_interleave(2, 4)
    fine = fine * torch.tensor([1.0, -1.0]).repeat(4)
    optimiser = torch.optim.Adam(network.parameters(), 2e-2)
    losses = []
    for _ in range(60):
        loss = F.mse_loss(network(coarse), fine)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.05 * losses[0]
