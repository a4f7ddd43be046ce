"""What shrinking cosine transforms does to noise of a known level, and to volumes without any."""

import pytest
import torch
from scipy import fft

from custom.networks.blocks.dct_shrinkage import DctShrinkage

SHAPE = (1, 1, 14, 17, 12)


def noise(seed=0, shape=SHAPE):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def told(volume, level):
    return DctShrinkage()(volume, torch.as_tensor(level, dtype=volume.dtype).expand_as(volume))


def test_the_transform_is_the_orthonormal_cosine_transform():
    block = noise(shape=(4, 4, 4))
    made = (DctShrinkage()._basis(block) @ block.flatten()).view(4, 4, 4)
    torch.testing.assert_close(made, torch.from_numpy(fft.dctn(block.numpy(), norm="ortho")))


def test_without_noise_a_volume_returns_as_it_is():
    volume = noise()
    torch.testing.assert_close(told(volume, 0.0), volume, rtol=0, atol=5e-6)
    assert not told(torch.zeros(SHAPE), 0.0).any()


def test_of_noise_in_a_constant_volume_less_than_a_fifth_is_left():
    shape = (1, 1, 32, 32, 32)
    left = told(5 + 0.3 * noise(shape=shape), 0.3) - 5
    # Of one block's mean an eighth is left; a few coefficients in a hundred pass the threshold.
    assert float(left.std()) < 0.2 * 0.3
    assert float(left.mean()) == pytest.approx(0, abs=0.01)


def test_an_edge_far_above_the_noise_stays():
    step = torch.zeros(1, 1, 16, 16, 16)
    step[:, :, 8:] = 10.0
    error = told(step + 0.1 * noise(shape=step.shape), 0.1) - step
    assert float(error.square().mean().sqrt()) < 0.06
    assert float(error.abs().max()) < 0.5


def test_units_do_not_matter_and_the_level_is_that_of_the_place():
    volume = 3 + noise()
    torch.testing.assert_close(told(700 * volume, 70.0) / 700, told(volume, 0.1))
    level = torch.zeros(SHAPE)
    level[..., 8:, :] = 0.5
    made = DctShrinkage()(volume, level)
    torch.testing.assert_close(made[..., :4, :], volume[..., :4, :])
    assert float((made - volume)[..., 12:, :].abs().mean()) > 0.2
