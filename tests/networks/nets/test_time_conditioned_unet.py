import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import mse_loss

from custom.networks.nets.restoration_unet import RestorationUNet
from custom.networks.nets.time_conditioned_unet import TimeConditionedUNet

DOWN = ("max", "mean", "strided")
UP = ("nearest", "bilinear", "bicubic", "transposed")


def awake(**options) -> TimeConditionedUNet:
    """A network in which nothing is left at zero."""
    torch.manual_seed(0)
    net = TimeConditionedUNet(**{"features": (4, 6, 8), "embedding": 8, **options}).eval()
    torch.nn.init.normal_(net.unet.head.weight)
    for layer in net.modulations:
        torch.nn.init.normal_(layer.weight, std=0.3)
    return net


@pytest.mark.parametrize(("down", "up"), list(itertools.product(DOWN, UP)))
def test_every_option_runs_and_scripts(down, up):
    image, position = torch.rand(2, 1, 10, 13), torch.tensor([0.2, 0.9])
    net = awake(down=down, up=up, activation="prelu", features_skip=(3, 5))
    with torch.no_grad():
        restored = net(image, position)
        scripted = torch.jit.script(net)(image, position)
    assert restored.shape == image.shape
    torch.testing.assert_close(scripted, restored)


NET = awake()


@settings(max_examples=30, deadline=None)
@given(size=st.lists(st.integers(1, 23), min_size=2, max_size=2))
def test_any_size_is_taken_and_kept(size):
    with torch.no_grad():
        restored = NET(torch.rand(1, 1, *size), torch.tensor([0.3]))
    assert restored.shape == (1, 1, *size)
    assert torch.isfinite(restored).all()


def test_untrained_network_says_that_nothing_needs_to_change():
    net = TimeConditionedUNet((4, 6, 8))
    assert not net(torch.rand(2, 1, 9, 8), torch.rand(2)).any()


def test_without_modulation_it_is_the_plain_network():
    """Gains start at 1 and shifts at 0, whatever the position."""
    net = TimeConditionedUNet((4, 6, 8), embedding=8)
    torch.nn.init.normal_(net.unet.head.weight)
    image = torch.rand(3, 1, 12, 9)
    torch.testing.assert_close(net(image, torch.rand(3)), net.unet(image))


def test_modulation_recomputed_by_hand():
    """Two levels, so that every gain and shift can be written out."""
    net = awake(features=(3, 5), activation="relu")
    unet, image, position = net.unet, torch.rand(2, 1, 8, 6), torch.tensor([0.1, 0.7])
    with torch.no_grad():
        embedded = net.embedding(position)

        def modulated(y, layer):
            gain, shift = layer(embedded)[:, :, None, None].chunk(2, dim=1)
            return gain * y + shift

        fine = modulated(unet.stem(image), net.modulations[0])
        coarse = modulated(unet.encoder[0](unet.downs[0](fine)), net.modulations[1])
        joined = torch.cat([fine, unet.ups[0](coarse)], dim=1)
        expected = unet.head(modulated(unet.decoder[0](joined), net.modulations[2]))
        torch.testing.assert_close(net(image, position), expected)


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({}, (1, 12, 12)),
        ({"spatial_dims": 3, "in_channels": 2, "out_channels": 3}, (2, 5, 6, 7)),
    ],
)
def test_each_sample_has_its_own_position(options, shape):
    net = awake(**options)
    images, position = torch.rand(3, *shape), torch.tensor([0.1, 0.5, 0.9])
    with torch.no_grad():
        batch = net(images, position)
        assert batch.shape == (3, options.get("out_channels", 1), *shape[1:])
        torch.testing.assert_close(net(images, position[:, None]), batch)
        torch.testing.assert_close(net(images[1:2], position[1:2]), batch[1:2])
        assert not torch.allclose(net(images, position.flip(0))[0], batch[0])


def test_the_published_widths_cost_the_embedding_more():
    plain = sum(p.numel() for p in RestorationUNet((16, 32, 64), residual=False).parameters())
    embedding = 2 * (64 * 64 + 64)
    modulations = 2 * (16 + 32 + 64 + 32 + 16) * (64 + 1)
    net = TimeConditionedUNet((16, 32, 64), embedding=64)
    assert sum(p.numel() for p in net.parameters()) == plain + embedding + modulations


def test_gradient_reaches_every_parameter():
    # Wide enough that some feature is negative everywhere a PReLU stands.
    net = awake(features=(12, 14, 16), features_skip=(10, 13), activation="prelu", down="strided")
    net(torch.randn(2, 1, 16, 16), torch.rand(2)).square().mean().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_learns_what_only_the_position_tells():
    """The same image, to be left at 0 and to be turned about at 1."""
    torch.manual_seed(0)
    image = torch.rand(1, 1, 8, 8).expand(4, -1, -1, -1)
    position = torch.tensor([0.0, 1.0, 0.0, 1.0])
    target = image * (1 - 2 * position[:, None, None, None])
    net = TimeConditionedUNet((8, 16), embedding=16)
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(150):
        optimiser.zero_grad()
        loss = mse_loss(net(image, position), target)
        loss.backward()
        optimiser.step()
    # Without the position the best answer is zero.
    assert loss.item() < 0.1 * target.square().mean().item()


def test_half_precision_agrees():
    net = awake()
    image, position = torch.rand(1, 1, 16, 16).bfloat16(), torch.tensor([0.4])
    with torch.no_grad():
        half = net.bfloat16()(image, position).float()
        full = net.float()(image.float(), position)
    torch.testing.assert_close(half, full, rtol=0.05, atol=0.05)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"embedding": 7}, "embedding"),
        ({"embedding": 0}, "embedding"),
        ({"features": (8,)}, "features"),
        ({"features_skip": (4,)}, "features_skip"),
        ({"down": "median"}, "down"),
        ({"up": "cubic"}, "up"),
        ({"activation": "gelu"}, "activation"),
        ({"spatial_dims": 1}, "spatial_dims"),
    ],
)
def test_wrong_options_are_named(options, match):
    with pytest.raises(ValueError, match=match):
        TimeConditionedUNet(**{"features": (4, 6, 8), **options})
