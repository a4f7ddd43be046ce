import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from custom.engines.diffusion_batch import DiffusionPrepareBatch
from custom.inferers.clean_estimate import CleanEstimate
from custom.inferers.iterative import IterativeInferer
from custom.inferers.tiled_inferer import TiledUpscalingInferer
from custom.networks.nets.two_encoder_unet import TwoEncoderUNet
from custom.networks.schedulers.gaussian_path import GaussianPath

SMALL = {"encoder_features": (3, 4, 6), "features": (6, 8)}


def awake(**options) -> TwoEncoderUNet:
    """A network whose head is not at zero."""
    torch.manual_seed(0)
    net = TwoEncoderUNet(**{**SMALL, **options}).eval()
    torch.nn.init.normal_(net.unet.unet.head.weight)
    for layer in net.unet.modulations:
        torch.nn.init.normal_(layer.weight, std=0.3)
    return net


NET = awake()


def test_the_published_form_has_two_encoders_of_ten_growing_blocks_and_starts_at_zero():
    net = TwoEncoderUNet()
    for encoder in (net.of_condition, net.of_state):
        widths = [block.out_channels for block in encoder]
        assert len(widths) == 10
        assert widths == sorted(widths)
        assert widths[0] < widths[-1]
    assert not net(torch.rand(1, 2, 16, 24), torch.rand(1)).any()


@settings(max_examples=20, deadline=None)
@given(size=st.lists(st.integers(1, 19), min_size=2, max_size=2))
def test_any_size_is_taken_and_kept(size):
    with torch.no_grad():
        made = NET(torch.rand(1, 2, *size), torch.tensor([0.3]))
    assert made.shape == (1, 1, *size)
    assert torch.isfinite(made).all()


@pytest.mark.parametrize("num_slices", [1, 3])
def test_it_scripts_and_the_code_stands_for_the_condition(num_slices):
    net = awake(num_slices=num_slices)
    x, position = torch.rand(2, 1 + num_slices, 9, 12), torch.tensor([0.2, 1.0])
    with torch.no_grad():
        made = net(x, position)
        code = net.encode(x[:, 1:])
        assert torch.equal(net(x, position, code), made)
        assert torch.equal(net(x[:, :1], position, code), made)
        scripted = torch.jit.script(net)
        torch.testing.assert_close(scripted(x, position), made)
        torch.testing.assert_close(scripted(x, position, scripted.encode(x[:, 1:])), made)


def test_the_encoders_are_summed_and_every_input_counts():
    x, position = torch.rand(1, 2, 8, 8), torch.tensor([0.4])
    with torch.no_grad():
        code = NET.of_state(x[:, :1]) + NET.of_condition(x[:, 1:])
        base = NET(x, position)
        assert torch.equal(base, NET.unet(code, position))
        for channel in range(2):
            other = x.clone()
            other[:, channel, 4, 4] += 1.0
            assert not torch.allclose(NET(other, position), base)
        assert not torch.allclose(NET(x, torch.tensor([0.9])), base)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"encoder_features": ()}, "encoder_features"),
        ({"encoder_features": (4, 0)}, "encoder_features"),
        ({"num_slices": 0}, "num_slices"),
        ({"features": (8,)}, "features"),
    ],
)
def test_wrong_options_are_named(options, match):
    with pytest.raises(ValueError, match=match):
        TwoEncoderUNet(**{**SMALL, **options})


class Forgetful(torch.nn.Module):
    """The same network, whose condition no one can encode beforehand."""

    def forward(self, x, position):
        return NET(x, position)


def test_a_sampler_encodes_each_condition_once_and_the_result_is_the_same(monkeypatch):
    path = GaussianPath("ddpm_linear", 20, "noise")
    inferer = IterativeInferer(path, 4, 1.0, 2, conditioned=True, slices_per_batch=3)
    volume, calls, encode = torch.rand(1, 1, 8, 7, 5), [], NET.encode
    with torch.no_grad():
        expected = inferer(volume, Forgetful())
        monkeypatch.setattr(NET, "encode", lambda y: calls.append(len(y)) or encode(y))
        torch.testing.assert_close(inferer(volume, NET), expected, rtol=0, atol=0)
    assert calls == [3, 2]  # slices of each batch, for four steps and two samples


def test_a_network_run_in_tiles_encodes_each_tile(monkeypatch):
    path, volume = GaussianPath("ddpm_linear", 20, "noise"), torch.rand(1, 1, 40, 8, 1)
    tiled = TiledUpscalingInferer(1, 16, halo=4, overlap=2)
    inferer = IterativeInferer(path, 2, conditioned=True, denoiser=tiled)
    calls, encode = [], NET.encode
    monkeypatch.setattr(NET, "encode", lambda y: calls.append(y.shape[-2:]) or encode(y))
    with torch.no_grad():
        assert torch.isfinite(inferer(volume, NET)).all()
    assert torch.Size([40, 8]) not in calls


def test_it_learns_the_noise_of_one_pair_by_the_training_s_own_parts():
    """Mean squared error of the noise; that of zeros is 1."""
    path = GaussianPath("ddpm_linear", 1000, "noise")
    torch.manual_seed(0)
    label = torch.rand(1, 1, 8, 8).expand(8, -1, -1, -1)
    prepare = DiffusionPrepareBatch(path, target="noise")
    estimate = CleanEstimate(path, conditioned=True, target="noise")
    net = TwoEncoderUNet((6, 8), (8, 16))
    optimiser, losses = torch.optim.AdamW(net.parameters(), lr=1e-2), []
    for _ in range(70):
        x_t, noise, (step,), more = prepare({"image": label + 0.1, "label": label})
        loss = torch.nn.functional.mse_loss(estimate(x_t, net, step, **more), noise)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(1, abs=0.15)
    assert sum(losses[-20:]) / 20 < 0.5
