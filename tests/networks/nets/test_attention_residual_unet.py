import itertools

import pytest
import torch
from monai.networks.utils import convert_to_torchscript

from custom.networks.nets.attention_residual_unet import AttentionResidualUNet

PUBLISHED = {  # and its millions of parameters
    "unc": ({"features": 128, "multipliers": (1, 2, 2, 2), "num_blocks": 3, "groups": 32}, 48.4),
    "biofinder": (
        {"features": 64, "multipliers": (1, 2, 2, 2, 2), "num_blocks": 3, "groups": 16},
        15.5,
    ),
    "gan": (
        {"features": 256, "multipliers": (1, 2, 2, 2, 2), "num_blocks": 4, "groups": 64},
        187.6,
    ),
}


def network(**settings) -> AttentionResidualUNet:
    """With a last convolution that is not 0."""
    torch.manual_seed(0)
    made = AttentionResidualUNet(features=8, groups=4, **settings).eval()
    torch.nn.init.normal_(made.last[1].weight)
    return made


def slices(height: int = 21, width: int = 18, count: int = 3) -> torch.Tensor:
    return torch.rand(2, count, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("count", [1, 3, 5])
def test_untrained_it_returns_the_middle_slice(count: int):
    x = slices(count=count)
    made = AttentionResidualUNet(num_slices=count)(x)
    assert torch.equal(made, x[:, count // 2 : count // 2 + 1])


@pytest.mark.parametrize(
    ("last_norm", "adadm", "attention", "downsample_last"),
    list(itertools.product([False, True], repeat=4))[::5],
)
def test_every_option_runs_learns_and_scripts(last_norm, adadm, attention, downsample_last):
    options = {"last_norm": last_norm, "adadm": adadm, "attention": attention}
    made = network(downsample_last=downsample_last, context_stages=[2, 4], **options)
    # The transformers' last convolutions start at 0.
    for name, part in made.named_parameters():
        if "proj_out" in name:
            torch.nn.init.normal_(part)
    x = slices()
    result = made(x, torch.tensor([[0.0, 40.0, float("nan"), 0.1]]).expand(2, -1))
    result.square().sum().backward()
    for name, part in made.named_parameters():
        assert part.grad is not None, name
        assert part.grad.abs().max() > 0, name
    scripted = convert_to_torchscript(made)
    assert scripted.state_dict().keys() == made.state_dict().keys()
    torch.testing.assert_close(scripted(x), made(x))


def test_the_context_matters_where_it_is_given_and_unknown_is_the_default():
    made = network(context_stages=[3])
    for name, part in made.named_parameters():
        if "proj_out" in name:
            torch.nn.init.normal_(part)
    x, unknown = slices(), torch.full((2, 4), float("nan"))
    assert torch.equal(made(x), made(x, unknown))
    known = unknown.clone()
    known[:, 1] = 80.0
    assert not torch.allclose(made(x, known), made(x), atol=1e-4)


def test_the_positions_of_the_attention_leave_no_trace_when_it_adds_nothing():
    features = torch.rand(1, 16, 5, 6)
    torch.testing.assert_close(network().attention(features), features)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_networks_build_at_full_size(name: str):
    settings, millions = PUBLISHED[name]
    stages = () if name == "gan" else (3, 4, 5)
    with torch.device("meta"):
        made = AttentionResidualUNet(
            context_stages=stages, last_norm=True, residual=False, **settings
        )
        count = sum(part.numel() for part in made.parameters())
        assert made(torch.empty(1, 3, 288, 224)).shape == (1, 1, 288, 224)
    assert count / 1e6 == pytest.approx(millions, abs=0.1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_slices": 2}, "num_slices must be odd"),
        ({"num_slices": 0}, "num_slices must be at least 1"),
        ({"features": 12, "groups": 8}, "multiples of 8 groups, got 12"),
        ({"multipliers": ()}, "at least one stage"),
        ({"context_stages": [5]}, "context_stages must be in 1 to 4, got 5"),
        ({"num_blocks": 0}, "num_blocks must be at least 1"),
    ],
)
def test_what_cannot_be_built_is_refused(settings: dict, message: str):
    with pytest.raises(ValueError, match=message):
        AttentionResidualUNet(**settings)
