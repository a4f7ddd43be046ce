import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from custom.networks.nets.restoration_unet import RestorationUNet

DOWN = ("max", "mean", "strided")
UP = ("nearest", "bilinear", "bicubic", "transposed")
ACTIVATIONS = ("relu", "leakyrelu", "elu", "prelu")


def awake(**options) -> RestorationUNet:
    """A network whose last convolution is not zero."""
    torch.manual_seed(0)
    net = RestorationUNet(**{"features": (4, 6, 8), **options}).eval()
    torch.nn.init.normal_(net.head.weight)
    return net


# Each way down with each way up, each way down and both residuals with each activation: scripting
# all 96 combinations took 14 s.
OPTIONS = [
    (down, up, ACTIVATIONS[(i + j) % 4], (i + j // 2) % 2 == 0)
    for i, down in enumerate(DOWN)
    for j, up in enumerate(UP)
]


@pytest.mark.parametrize(("down", "up", "activation", "residual"), OPTIONS)
def test_every_option_runs_and_scripts(down, up, activation, residual):
    image = torch.rand(2, 1, 10, 13)
    net = awake(down=down, up=up, activation=activation, residual=residual)
    with torch.no_grad():
        restored = net(image)
        scripted = torch.jit.script(net)(image)
    assert restored.shape == image.shape
    torch.testing.assert_close(scripted, restored)
    names = {type(module).__name__.lower() for module in net.modules()}
    assert activation in names
    assert ("convtranspose2d" in names) == (up == "transposed")


SIZES = st.lists(st.integers(1, 23), min_size=2, max_size=2)
NETS = {levels: awake(features=tuple(range(2, 2 + levels))) for levels in (2, 3, 4)}


@settings(max_examples=40, deadline=None)
@given(size=SIZES, levels=st.sampled_from([2, 3, 4]))
def test_any_size_is_taken_and_kept(size, levels):
    image = torch.rand(1, 1, *size)
    net = NETS[levels]
    with torch.no_grad():
        restored = net(image)
    assert restored.shape == image.shape
    assert torch.isfinite(restored).all()


def test_padding_repeats_the_border():
    image = torch.rand(1, 1, 10, 13)
    grown = torch.nn.functional.pad(image, [0, 3, 0, 2], mode="replicate")
    net = awake()
    with torch.no_grad():
        torch.testing.assert_close(net(image), net(grown)[..., :10, :13])


@pytest.mark.parametrize(
    ("down", "downs"), [("strided", 9 * 128 * 128 * 2 + 2 * 128), ("max", 0), ("mean", 0)]
)
def test_published_tuned_setting_has_the_parameters_counted_by_hand(down, downs):
    encoder = (9 * 128 + 128) + 3 * (9 * 128 * 128 + 128)  # levels 1 and 2
    encoder += (9 * 128 * 64 + 64) + (9 * 64 * 64 + 64)  # level 3
    ups = (64 * 128 + 128) + (128 * 128) * 0  # 128 to 128 features needs no convolution
    decoder = 2 * ((9 * 256 * 128 + 128) + (9 * 128 * 128 + 128))
    head = 128 + 1
    net = RestorationUNet((128, 128, 64), down=down, up="bilinear", residual=False)
    count = sum(parameter.numel() for parameter in net.parameters())
    assert count == encoder + downs + ups + decoder + head


def test_published_first_run_has_the_parameters_counted_by_hand():
    def two(inputs, outputs):
        return 9 * inputs * outputs + 9 * outputs * outputs + 2 * outputs

    expected = two(1, 64) + two(64, 128) + two(128, 256)
    expected += (4 * 256 * 128 + 128) + two(256, 128) + (4 * 128 * 64 + 64) + two(128, 64) + 65
    net = RestorationUNet((64, 128, 256), down="mean", up="transposed", residual=True)
    assert sum(parameter.numel() for parameter in net.parameters()) == expected


def test_narrow_skips_cost_a_convolution_each():
    plain = RestorationUNet((4, 6, 8))
    narrow = RestorationUNet((4, 6, 8), features_skip=(2, 6))
    count = [sum(p.numel() for p in net.parameters()) for net in (plain, narrow)]
    assert count[1] - count[0] == (4 * 2 + 2) - 9 * 2 * 4  # 1x1 skip; 2 inputs fewer above it
    assert narrow(torch.rand(1, 1, 9, 9)).shape == (1, 1, 9, 9)


def test_untrained_residual_network_is_the_identity():
    image = torch.rand(2, 1, 11, 12)
    assert torch.equal(RestorationUNet()(image), image)
    assert not torch.allclose(RestorationUNet(residual=False)(image), image)


def test_residual_adds_the_input_to_the_prediction():
    image = torch.rand(1, 1, 8, 8)
    with_input, without = awake(residual=True), awake(residual=False)
    without.load_state_dict(with_input.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(with_input(image), without(image) + image)


def test_a_shift_by_the_divisor_shifts_the_output():
    net = awake(down="strided", up="bilinear")
    image = torch.rand(1, 1, 96, 96)
    with torch.no_grad():
        moved = net(torch.roll(image, (4, 8), (2, 3)))
        expected = torch.roll(net(image), (4, 8), (2, 3))
    inside = (..., slice(36, 64), slice(36, 64))
    torch.testing.assert_close(moved[inside], expected[inside])
    assert not torch.allclose(moved[..., :4, :4], expected[..., :4, :4])


def test_receptive_field_is_local_and_reaches_the_coarsest_level():
    net = awake(activation="elu")
    image = torch.rand(1, 1, 96, 96, requires_grad=True)
    net(image)[0, 0, 48, 48].backward()
    rows = image.grad[0, 0].abs().sum(1).nonzero().flatten()
    # 3x3 convolutions: 2 + 2 at full, 2 + 2 at half, 2 at quarter resolution, and the two grids'
    # own reach; anything wider would be a leak between distant voxels.
    assert 48 - rows.min() >= 2 * 4 + 4 * 2
    assert rows.max() - rows.min() < 56


SOLID = {"spatial_dims": 3, "in_channels": 2, "out_channels": 3, "residual": False}


@pytest.mark.parametrize(
    ("options", "shape"),
    [({}, (1, 12, 12)), (SOLID | {"up": "bilinear"}, (2, 5, 6, 7))],
)
def test_samples_do_not_mix(options, shape):
    net = awake(**options)
    images = torch.rand(3, *shape)
    with torch.no_grad():
        restored = net(images)
        assert restored.shape == (3, options.get("out_channels", 1), *shape[1:])
        torch.testing.assert_close(restored[1:2], net(images[1:2]))


@pytest.mark.parametrize("down", DOWN)
@pytest.mark.parametrize("up", UP)
def test_gradient_reaches_every_parameter(down, up):
    # Wide enough that some feature is negative everywhere a PReLU stands.
    net = awake(features=(12, 14, 16), down=down, up=up, features_skip=(10, 13), activation="prelu")
    net(torch.randn(2, 1, 16, 16)).square().mean().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_overfits_one_batch():
    torch.manual_seed(0)
    clean = torch.rand(2, 1, 16, 16)
    noisy = clean + 0.3 * torch.randn_like(clean)
    net = RestorationUNet((16, 32, 32))
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
    start = torch.nn.functional.mse_loss(noisy, clean).item()
    for _ in range(150):
        optimiser.zero_grad()
        loss = torch.nn.functional.mse_loss(net(noisy), clean)
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.1 * start


def test_normalisation_is_optional():
    kinds = {type(module).__name__ for module in awake(norm="instance").modules()}
    assert "InstanceNorm2d" in kinds
    assert "InstanceNorm2d" not in {type(module).__name__ for module in awake().modules()}


def test_half_precision_agrees():
    net = awake()
    image = torch.rand(1, 1, 16, 16)
    with torch.no_grad():
        half = net.bfloat16()(image.bfloat16()).float()
        full = net.float()(image.bfloat16().float())
    torch.testing.assert_close(half, full, rtol=0.05, atol=0.05)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"features": (8,)}, "features"),
        ({"features": (8, 0)}, "features"),
        ({"features_skip": (4,)}, "features_skip"),
        ({"features_skip": (4, 0)}, "features_skip"),
        ({"down": "median"}, "down"),
        ({"up": "cubic"}, "up"),
        ({"activation": "gelu"}, "activation"),
        ({"spatial_dims": 1}, "spatial_dims"),
        ({"spatial_dims": 3, "up": "bicubic"}, "bicubic"),
        ({"in_channels": 2}, "out_channels"),
    ],
)
def test_wrong_options_are_named(options, match):
    with pytest.raises(ValueError, match=match):
        RestorationUNet(**{"features": (4, 6, 8), **options})
