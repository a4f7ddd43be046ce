"""What a denoiser that is told the noise level cannot do, whatever its weights are."""

import pytest
import torch

from custom.networks.nets.noise_level_unet import NoiseLevelUNet


@pytest.fixture
def network():
    torch.manual_seed(0)
    made = NoiseLevelUNet((4, 8))
    torch.nn.init.normal_(made.unet.head.weight)
    return made.eval()


def told(image, level):
    return torch.cat([image, torch.as_tensor(level).expand_as(image)], 1)


IMAGE = torch.rand(2, 1, 9, 12, 10, generator=torch.Generator().manual_seed(1))


def test_untrained_it_is_the_shrinkage_alone():
    untrained = NoiseLevelUNet((4, 8))
    shrunk = untrained.shrinkage(IMAGE, torch.full_like(IMAGE, 0.1))
    torch.testing.assert_close(untrained(told(IMAGE, 0.1)), shrunk)
    assert "shrinkage.basis" not in untrained.state_dict()  # nothing in it is learnt


def test_without_noise_a_volume_returns_as_it_is(network):
    assert torch.equal(network(told(IMAGE, 0.0)), IMAGE)


def test_no_voxel_changes_by_more_than_four_levels(network):
    level = torch.linspace(0, 0.1, 12).view(1, 1, 1, 12, 1)
    change = (network(told(IMAGE, level)) - IMAGE).abs()
    assert bool((change <= 4 * level + 1e-6).all())
    assert bool((change >= 4 * level - 1e-6).any())  # these weights do want to


def test_units_do_not_matter(network):
    for unit in (1e-3, 700.0):
        scaled = network(told(unit * IMAGE, unit * 0.1)) / unit
        torch.testing.assert_close(scaled, network(told(IMAGE, 0.1)), rtol=1e-4, atol=1e-5)


def test_no_layer_adds_a_constant(network):
    assert not [name for name, _ in network.named_parameters() if name.endswith("bias")]


def test_the_reach_is_checked():
    with pytest.raises(ValueError, match="reach"):
        NoiseLevelUNet(reach=0)
