"""The penalty of a critic's slope, where the slope is known."""

import math

import pytest
import torch
from torch import nn

from custom.losses.gradient_penalty import GradientPenalty


class Linear(nn.Module):
    """``C(z) = w . z``: its slope is ``w`` everywhere."""

    def __init__(self, *weight):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight, dtype=torch.float64))

    def forward(self, z):
        return (z * self.weight.view(1, 1, -1)).sum(dim=(1, 2))


def half_square(z):
    """``C(z) = |z|^2 / 2``: its slope at ``z`` is ``z``."""
    return 0.5 * z.square().flatten(1).sum(1)


def volumes(*values):
    return torch.tensor(values, dtype=torch.float64).view(len(values), 1, -1)


@pytest.mark.parametrize("target", [0.0, 1.0])
def test_of_a_linear_critic_value_and_gradient_are_closed_forms(target):
    critic = Linear(3.0, 4.0)
    real, fake = torch.randn(2, 5, 1, 2, dtype=torch.float64)
    penalty = GradientPenalty(10.0, target)(critic, real, fake)
    assert penalty.item() == pytest.approx(10 * (5 - target) ** 2)
    penalty.backward()
    wanted = 2 * 10 * (5 - target) * critic.weight.detach() / 5
    torch.testing.assert_close(critic.weight.grad, wanted)


def test_the_norm_is_that_of_each_volume_and_their_penalties_are_averaged():
    x = volumes([3.0, 4.0], [0.0, 0.5])
    found = GradientPenalty(2.0)(half_square, x, x)
    assert found.item() == pytest.approx(2 * ((5 - 1) ** 2 + (0.5 - 1) ** 2) / 2)


def test_places_are_uniform_between_the_two_and_each_pair_has_its_own():
    """Between 1 and 3 the slope is uniform in 1..3: the mean of (z - 1)^2 is 4 / 3."""
    number = 20_000
    torch.manual_seed(0)
    real, fake = (torch.full((number, 1, 1), value, dtype=torch.float64) for value in (1.0, 3.0))
    found = GradientPenalty(1.0)(half_square, real, fake).item()
    # Of (z - 1)^2: mean of its square 16 / 5, hence a variance of 16 / 5 - 16 / 9.
    error = math.sqrt((16 / 5 - 16 / 9) / number)
    assert found == pytest.approx(4 / 3, abs=5 * error)


def test_a_map_of_scores_counts_by_its_mean():
    x = volumes([3.0, 4.0])
    found = GradientPenalty(1.0)(lambda z: half_square(z).view(-1, 1, 1).expand(1, 4, 6), x, x)
    assert found.item() == pytest.approx((5 - 1) ** 2)


def test_its_gradient_is_that_of_finite_differences():
    critic = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1)).double()
    real, fake = torch.randn(2, 6, 1, 2, 2, dtype=torch.float64)

    def penalty(weight):
        torch.manual_seed(1)  # the same places each time
        names = {"1.weight": weight}
        call = lambda z: torch.func.functional_call(critic, names, z)  # noqa: E731
        return GradientPenalty(10.0)(call, real, fake)

    weight = critic[1].weight.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(penalty, weight)


def test_half_precision_does_not_overflow():
    x = torch.full((1, 1, 32, 32, 32), 3.0, dtype=torch.float16)
    found = GradientPenalty(1.0)(half_square, x, x)
    assert found.item() == pytest.approx((3 * 32**1.5 - 1) ** 2, rel=1e-5)


@pytest.mark.parametrize(
    ("weight", "target", "name"), [(0.0, 1.0, "weight"), (1.0, -1.0, "target")]
)
def test_wrong_settings_are_named(weight, target, name):
    with pytest.raises(ValueError, match=name):
        GradientPenalty(weight, target)
