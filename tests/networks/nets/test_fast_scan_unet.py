"""What a network on the acquired grid is, whatever its weights are."""

import pytest
import torch

from custom.networks.nets.fast_scan_unet import FastScanUNet
from custom.transforms.upsample_in_plane import upsample_in_plane

ACQUIRED = torch.rand(2, 1, 20, 26, generator=torch.Generator().manual_seed(1)) + 0.1


def repeated(acquired, scale=2):
    return upsample_in_plane(acquired.movedim(0, -1), scale).movedim(-1, 0)


@pytest.fixture
def network():
    torch.manual_seed(0)
    made = FastScanUNet((4, 8))
    torch.nn.init.normal_(made.unet.head.weight)
    return made.eval()


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_untrained_it_is_bicubic_interpolation(scale):
    slices = ACQUIRED.movedim(0, -1)
    expected = upsample_in_plane(slices, scale, "bicubic").movedim(-1, 0)
    found = FastScanUNet((4, 8), scale)(repeated(ACQUIRED, scale))
    torch.testing.assert_close(found, expected)


def test_units_do_not_matter(network):
    plain = network(repeated(ACQUIRED))
    for unit in (1e-3, 0.5):  # below five times the tissue
        found = network(repeated(unit * ACQUIRED)) / unit
        torch.testing.assert_close(found, plain, rtol=1e-4, atol=1e-5)


def test_a_slice_does_not_depend_on_its_batch(network):
    alone = network(repeated(ACQUIRED[:1]))
    torch.testing.assert_close(network(repeated(ACQUIRED))[:1], alone)


def test_it_sees_the_noise_level_only_if_it_is_to(network):
    blind = FastScanUNet((4, 8), knows_level=False)
    assert blind.unet.stem.conv_0.conv.in_channels == 2
    assert network.unet.stem.conv_0.conv.in_channels == 3


def test_no_layer_adds_a_constant(network):
    assert not [name for name, _ in network.named_parameters() if name.endswith("bias")]


def test_the_scale_is_checked():
    with pytest.raises(ValueError, match="scale"):
        FastScanUNet(scale=0)
