import pytest
import torch
from torch.nn import functional as F

from custom.networks.blocks.residual_dense_block import (
    ResidualDenseBlock,
    ResidualInResidualBlock,
)
from custom.networks.initialisation import kaiming_init


def weights_of_concatenation(block):
    """Weights of each layer towards the concatenation of all before it, as usually written."""
    channels, growth = block.first.in_channels, block.growth
    layers = [block.first, *block.layers]
    found = []
    for later in range(1, len(layers) + 1):
        parts = []
        for source in range(later):
            start = growth * (later - source - 1)
            width = growth if later < len(layers) else channels
            parts.append(layers[source].weight[start : start + width])
        found.append(torch.cat(parts, 1))
    return found


@pytest.mark.parametrize(("channels", "growth", "convs"), [(4, 3, 5), (6, 2, 2), (2, 5, 3)])
def test_equals_the_block_written_with_concatenations(channels, growth, convs):
    generator = torch.Generator().manual_seed(0)
    block = ResidualDenseBlock(channels, growth, convs, 0.3, 0.1).double()
    kaiming_init(block, generator=generator)
    torch.nn.init.normal_(block.first.bias, generator=generator)
    x = torch.randn(2, channels, 5, 4, 3, dtype=torch.float64, generator=generator)

    seen = [x]
    weights = weights_of_concatenation(block)
    biases = block.first.bias.split([growth] * (convs - 1) + [channels])
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        seen.append(F.leaky_relu(F.conv3d(torch.cat(seen, 1), weight, bias, padding=1), 0.1))
    expected = x + 0.3 * F.conv3d(torch.cat(seen, 1), weights[-1], biases[-1], padding=1)
    torch.testing.assert_close(block(x), expected)


def test_gradients_are_those_of_finite_differences():
    block = ResidualDenseBlock(2, 2, 3).double()
    kaiming_init(block, generator=torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(1, 2, 3, 2, 2, dtype=torch.float64, generator=generator, requires_grad=True)
    assert torch.autograd.gradcheck(block, (x,))


def test_initial_weights_suit_the_whole_sum():
    block = ResidualDenseBlock(24, 16, 4)
    kaiming_init(block, 0.0, generator=torch.Generator().manual_seed(0))
    for weight in weights_of_concatenation(block):
        expected = (2 / weight[0].numel()) ** 0.5
        assert weight.std().item() == pytest.approx(expected, rel=0.03)


def test_backward_pass_keeps_each_feature_once():
    """What autograd stores: the input, the growing features, nothing concatenated."""
    channels, growth, convs = 8, 4, 5
    block = ResidualDenseBlock(channels, growth, convs)
    x = torch.randn(1, channels, 6, 6, 6, generator=torch.Generator().manual_seed(0))
    own = {parameter.data_ptr() for parameter in block.parameters()}
    stored = {}

    def keep(tensor):
        if tensor.data_ptr() not in own:
            storage = tensor.untyped_storage()
            stored[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        block(x)
    assert sum(stored.values()) == 4 * 6**3 * (channels + growth * (convs - 1))


def test_scales_of_both_residues():
    """Only the last bias, 1: each dense block adds 0.5, and the row of two 0.25 * 1."""
    row = ResidualInResidualBlock(2, 2, dense_blocks=2, convs=2, residual_scale=0.5)
    with torch.no_grad():
        for parameter in row.parameters():
            parameter.zero_()
        for block in row.blocks:
            block.first.bias[-2:] = 1.0
    x = torch.zeros(1, 2, 3, 3, 3)
    # (x + 0.5) + 0.5 = 1; x + 0.5 * 1.
    torch.testing.assert_close(row(x), torch.full_like(x, 0.5))


@pytest.mark.parametrize("wrong", [{"channels": 0}, {"growth": 0}, {"convs": 1}])
def test_impossible_sizes_are_refused(wrong):
    with pytest.raises(ValueError, match="must be at least"):
        ResidualDenseBlock(**wrong)
