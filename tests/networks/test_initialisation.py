import math

import pytest
import torch
from torch import nn

from custom.networks.initialisation import kaiming_init


@pytest.mark.parametrize("slope", [0.0, 0.2, 1.0])
def test_second_moment_passes_through_layers(slope):
    """Through ten layers with LeakyReLU the mean square stays 1, up to sampling."""
    layers = [part for _ in range(10) for part in (nn.Linear(512, 512), nn.LeakyReLU(slope))]
    network = kaiming_init(
        nn.Sequential(*layers), slope, generator=torch.Generator().manual_seed(0)
    )
    x = torch.randn(64, 512, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        # The sum before the last LeakyReLU has 2 / (1 + a^2) of its input's mean square.
        square = network[:-1](x).square().mean().item()
    assert square == pytest.approx(2 / (1 + slope**2), rel=0.25)


def test_transposed_convolution_counts_what_reaches_an_output():
    """Kernel 4 at stride 2 in 3D: 8 positions of each input channel, not 64."""
    layer = nn.ConvTranspose3d(16, 64, 4, stride=2, padding=1)
    kaiming_init(layer, 0.0, generator=torch.Generator().manual_seed(0))
    assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / (16 * 8)), rel=0.02)
    x = torch.randn(1, 16, 6, 6, 6, generator=torch.Generator().manual_seed(1))
    inner = layer(x)[..., 3:-3, 3:-3, 3:-3]
    assert inner.square().mean().item() == pytest.approx(2.0, rel=0.2)


def test_biases_and_norms():
    network = nn.Sequential(nn.Conv3d(8, 64, 3), nn.InstanceNorm3d(64, affine=True))
    nn.init.constant_(network[1].weight, 3.0)
    kaiming_init(network)
    assert (network[0].bias == 0).all()
    assert (network[1].weight == 1).all()
