import pytest
import torch
from torch.nn import functional as F

from custom.networks.nets.wavelet_critic import WaveletCritic


def volume(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def made(**arguments):
    torch.manual_seed(0)
    return WaveletCritic(**{"features": 4, "depth": 3, **arguments})


def test_published_depth():
    """Six levels down from 64 voxels, to one."""
    x = volume(1, 1, 64, 64, 64)
    with torch.no_grad():
        logits = made(features=2, depth=6)(x)
    assert logits.shape == x.shape
    assert logits.isfinite().all()


@pytest.mark.parametrize("high", ["sum", "concatenate"])
@pytest.mark.parametrize("size", [(8, 8, 8), (16, 8, 24)])
def test_every_voxel_has_a_score_and_samples_of_a_batch_do_not_meet(size, high):
    """Batch normalisation would fail here."""
    x = volume(3, 1, *size)
    network = made(high=high)
    logits = network(x)
    assert logits.shape == x.shape
    torch.testing.assert_close(logits[2:], network(x[2:]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("part", ["low", "high"])
def test_wavelet_features_of_every_level_reach_the_scores(part):
    network = made()
    network(volume(1, 1, 16, 16, 16)).square().mean().backward()
    for down in network.down:
        assert getattr(down.wavelet, part).weight.grad.abs().max() > 0


def test_low_joins_the_encoder_and_high_the_decoder_only():
    """Without the high ones a level's own features stay; without the low ones they change."""
    down = made().down[0]
    x = volume(1, 4, 8, 8, 8)
    features, high = down(x)
    with torch.no_grad():
        down.wavelet.high.weight.zero_()
    same, none = down(x)
    torch.testing.assert_close(same, features)
    assert high.std() > 0
    assert none.std() == 0
    with torch.no_grad():
        down.wavelet.low.weight.zero_()
    assert not torch.allclose(down(x)[0], features)


def test_starts_with_moderate_logits():
    """The published draw starts near 30; the optimum of the loss is at 0."""
    assert made(features=8, depth=4)(volume(2, 1, 32, 32, 32)).abs().max() < 10


def test_learns_to_find_the_voxels_that_are_too_smooth():
    """Half of each volume lacks its high frequencies; the scores say which half."""
    network = made(features=4, depth=2)
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    truth = torch.zeros(1, 1, 8, 8, 8)
    truth[..., 4:] = 1.0
    losses = []
    for seed in range(40):
        x = volume(2, 1, 8, 8, 8, seed=seed)
        smooth = F.interpolate(F.avg_pool3d(x, 2), scale_factor=2)
        loss = F.binary_cross_entropy_with_logits(
            network(torch.where(truth > 0, x, smooth)), truth.expand(2, -1, -1, -1, -1)
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) / 5 < 0.3


def test_script_keeps_the_result():
    network = made()
    x = volume(1, 1, 8, 16, 8)
    torch.testing.assert_close(torch.jit.script(network)(x), network(x))


@pytest.mark.parametrize("size", [(8, 8, 12), (7, 8, 8)])
def test_other_sizes_are_refused(size):
    with pytest.raises(ValueError, match="multiples of 8"):
        made()(volume(1, 1, *size))
