import pytest
import torch

from custom.networks.nets.residual_critic import PatchCritic, ResidualCritic


def volume(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def made(**arguments):
    torch.manual_seed(0)
    return ResidualCritic(**arguments)


def test_published_size_without_residual_path():
    network = ResidualCritic(residual=False)
    assert sum(parameter.numel() for parameter in network.parameters()) == 14_066_369


def test_regions_are_scored_one_by_one():
    """Up to InstanceNorm, which is kept out here, a far voxel does not change a score."""
    network = made(features=2, num_blocks=2).eval()
    for block in network.blocks:
        block.norm1 = block.norm2 = torch.nn.Identity()
    x = volume(1, 1, 40, 8, 8).requires_grad_()
    network(x)[0, 0, 0, 0, 0].backward()
    reached = x.grad.abs().amax((0, 1, 3, 4)).nonzero().max().item()
    # Forward reach of score 0: 1 voxel for each convolution, times the stride up to it.
    assert reached == 1 + 1 + 2 + 2 + 4


def test_residual_path_carries_the_averaged_input():
    """With its convolutions at zero a block is its shortcut alone."""
    network = made(features=3, num_blocks=2)
    block = network.blocks[1]
    with torch.no_grad():
        block.norm2.weight.zero_()
    x = volume(1, 3, 4, 4, 4)
    pooled = x.reshape(1, 3, 2, 2, 2, 2, 2, 2).mean((3, 5, 7))
    weight = block.shortcut.weight[:, :, 0, 0, 0]
    expected = torch.einsum("oi,bidhw->bodhw", weight, pooled)
    expected = torch.where(expected > 0, expected, 0.2 * expected)
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize("size", [(32, 32, 32), (17, 5, 1), (33, 20, 18)])
def test_samples_of_a_batch_do_not_meet(size):
    x = volume(2, 1, *size)
    network = made(features=4)
    logits = network(x)
    assert logits.shape == (2, 1, *(-(-count // 16) for count in size))
    torch.testing.assert_close(logits[1:], network(x[1:]), atol=1e-5, rtol=1e-4)


def test_starts_with_moderate_logits():
    """The published draw starts near 30; the optimum of the loss is at 0."""
    assert made(features=16)(volume(2, 1, 32, 32, 32)).abs().max() < 4


def test_script_keeps_the_result():
    network = made(features=2)
    x = volume(1, 1, 20, 18, 17)
    torch.testing.assert_close(torch.jit.script(network)(x), network(x))


def test_too_small_a_volume_is_refused():
    with pytest.raises(ValueError, match="more than 16 voxels"):
        made(features=2)(volume(1, 1, 16, 16, 16))


def test_a_patch_critic_sees_slices_one_by_one():
    """As a gradient penalty asks: another slice of the batch changes no score."""
    torch.manual_seed(0)
    critic = PatchCritic(features=4, layers=2)
    x = torch.randn(2, 1, 32, 24, generator=torch.Generator().manual_seed(1))
    scores = critic(x)
    assert scores.shape[:2] == (2, 1)
    other = x.clone()
    other[1] *= 5
    torch.testing.assert_close(critic(other)[0], scores[0])
    assert not torch.allclose(critic(other)[1], scores[1])


def test_the_published_patch_critic_has_its_size():
    with torch.device("meta"):
        count = sum(part.numel() for part in PatchCritic(256, 4).parameters())
    assert count / 1e6 == pytest.approx(44.1, abs=1.0)
