import pytest
import torch

from custom.networks.blocks.ada_dm import AdaDM, NormalisedResidualBlock


def images(seed: int = 0) -> torch.Tensor:
    return torch.randn(3, 4, 5, 6, generator=torch.Generator().manual_seed(seed)) * 7


def test_by_hand():
    part, x, h = AdaDM(), images(), images(1)
    torch.nn.init.constant_(part.weight, 0.7)
    torch.nn.init.constant_(part.bias, -0.3)
    for sample in range(3):
        mean = x[sample].mean()
        deviation = ((x[sample] - mean) ** 2).mean().sqrt()
        expected = h[sample] * deviation**0.7 * torch.exp(torch.tensor(-0.3))
        torch.testing.assert_close(part(x, h)[sample], expected)


def test_weight_and_bias_of_0_leave_features_alone():
    part = AdaDM()
    torch.nn.init.zeros_(part.weight)
    assert torch.equal(part(images(), images(1)), images(1))


def test_a_constant_input_is_finite_and_so_are_its_gradients():
    part, x = AdaDM(), torch.full((2, 3, 4, 4), 5.0, requires_grad=True)
    made = part(x, images()[:2, :3, :4, :4])
    made.sum().backward()
    assert made.isfinite().all()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("gain", [1e-2, 50.0])
def test_a_block_with_it_keeps_the_units_of_its_input(gain: float):
    """Normalisation alone makes what is added the same for every gain."""
    torch.manual_seed(0)
    block, x = NormalisedResidualBlock(4, 4, 2), images()
    one, other = block(x), block(gain * x)
    torch.testing.assert_close(other, gain * one, rtol=0.05, atol=0.01 * gain)
    without = NormalisedResidualBlock(4, 4, 2, adadm=False)
    added = without(gain * x) - gain * x
    torch.testing.assert_close(added, without(x) - x, rtol=2e-2, atol=1e-2)
