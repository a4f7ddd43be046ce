import pytest
import torch
from torch.nn import functional as F

from custom.networks.nets.swin_generator import SwinGenerator

SMALL = {"channels": 6, "num_groups": 1, "depth": 2, "num_heads": 2, "window_size": 2}


def made(**changes):
    """A small generator whose every weight matters."""
    torch.manual_seed(0)
    network = SwinGenerator(**{**SMALL, **changes}).double()
    with torch.no_grad():
        network.head.output.weight *= 100
    return network


def noise(*shape, seed=1):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_size_is_near_that_of_the_published_generator():
    count = sum(parameter.numel() for parameter in SwinGenerator().parameters())
    assert count == pytest.approx(16_042_881, rel=0.01)


def test_gradient_stays_within_the_receptive_radius():
    network = made()
    radius = network.receptive_radius
    x = noise(1, 1, 2 * radius + 6, 4, 4).requires_grad_()
    for centre in (radius + 2, radius + 3):
        x.grad = None
        network(x)[0, 0, 2 * centre : 2 * centre + 2].sum().backward()
        reached = x.grad[0, 0].abs().amax((1, 2)).nonzero().flatten()
        assert centre - radius <= reached.min()
        assert reached.max() <= centre + radius


def test_tile_that_begins_at_a_window_agrees_with_the_whole():
    network = made()
    radius = network.receptive_radius
    x = noise(1, 1, 20, 4, 4)
    whole = network(x)[:, :, 2 * (4 + radius) :]
    torch.testing.assert_close(network(x[:, :, 4:])[:, :, 2 * radius :], whole)
    # Not one that begins within a window.
    other = network(x[:, :, 3:])[:, :, 2 * (1 + radius) :]
    assert (other - whole).abs().max() > 1e-6


@pytest.mark.parametrize("size", [(9, 4, 6), (5, 9, 3), (1, 2, 4)])
@pytest.mark.parametrize("window_size", [2, 4])
def test_any_size_is_doubled_and_without_gradients_the_result_is_the_same(size, window_size):
    network = made(slab=3, window_size=window_size)
    x = noise(2, 1, *size)
    with torch.no_grad():
        without = network(x)
    assert without.shape == (2, 1, *(2 * count for count in size))
    torch.testing.assert_close(without, network(x))


def test_untrained_network_is_near_trilinear():
    torch.manual_seed(0)
    network = SwinGenerator(**SMALL)
    x = noise(1, 1, 8, 8, 8).float()
    trilinear = F.interpolate(x, scale_factor=2, mode="trilinear")
    with torch.no_grad():
        change = network(x) - trilinear
    assert 0 < change.std() < 0.1 * trilinear.std()


def test_every_parameter_is_trained():
    network = made()
    network(noise(1, 1, 4, 6, 4)).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_impossible_sizes_are_refused():
    with pytest.raises(ValueError, match="num_heads must divide channels"):
        SwinGenerator(channels=6, num_heads=4)
    with pytest.raises(ValueError, match="window_size at least 2"):
        SwinGenerator(window_size=1)
