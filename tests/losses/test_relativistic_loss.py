import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from custom.losses.relativistic_loss import RelativisticAverageLoss, WassersteinLoss

REAL = torch.tensor([[1.0, 3.0], [0.0, 2.0]], dtype=torch.float64)
FAKE = torch.tensor([[0.0, 1.0], [-1.0, -2.0]], dtype=torch.float64)


def nlog_sigmoid(value):
    return -math.log(1 / (1 + math.exp(-value)))


def by_hand(real_less, fake_less):
    """Loss of the critic and of the generator from the differences, as the text has them."""

    def mean_of(values, sign):
        return sum(nlog_sigmoid(sign * v) for v in values) / len(values)

    critic = 0.5 * (mean_of(real_less, 1) + mean_of(fake_less, -1))
    generator = 0.5 * (mean_of(real_less, -1) + mean_of(fake_less, 1))
    return critic, generator


@pytest.mark.parametrize(
    ("average", "real_less", "fake_less"),
    [
        # mean fake -0.5, mean real 1.5
        ("all", [1.5, 3.5, 0.5, 2.5], [-1.5, -0.5, -2.5, -3.5]),
        # column means: fake (-0.5, -0.5), real (0.5, 2.5)
        ("batch", [1.5, 3.5, 0.5, 2.5], [-0.5, -1.5, -1.5, -4.5]),
    ],
)
def test_losses_equal_a_calculation_by_hand(average, real_less, fake_less):
    loss = RelativisticAverageLoss(average)
    critic, generator = by_hand(real_less, fake_less)
    assert float(loss.critic(REAL, FAKE)) == pytest.approx(critic, abs=1e-12)
    assert float(loss.generator(REAL, FAKE)) == pytest.approx(generator, abs=1e-12)


@pytest.mark.parametrize("average", ["all", "batch"])
def test_both_are_log_2_where_the_critic_cannot_tell(average):
    scores = torch.full((2, 1, 3, 4, 5), -7.0)
    loss = RelativisticAverageLoss(average)
    for value in (loss.critic(scores, scores), loss.generator(scores, scores)):
        assert float(value) == pytest.approx(math.log(2), abs=1e-6)


@given(
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=5),
    seed=st.integers(0, 99),
    average=st.sampled_from(["all", "batch"]),
)
@settings(max_examples=25, deadline=None)
def test_the_two_differ_by_the_difference_of_the_mean_scores(shape, seed, average):
    rng = torch.Generator().manual_seed(seed)
    real, fake = (torch.randn(shape, generator=rng, dtype=torch.float64) for _ in range(2))
    loss = RelativisticAverageLoss(average)
    difference = loss.generator(real, fake) - loss.critic(real, fake)
    torch.testing.assert_close(difference, real.mean() - fake.mean(), atol=1e-12, rtol=0)
    # Real and generated change places.
    torch.testing.assert_close(loss.critic(real, fake), loss.generator(fake, real))


@pytest.mark.parametrize("average", ["all", "batch"])
@pytest.mark.parametrize("player", ["critic", "generator"])
def test_gradients_flow_through_the_averages_too(average, player):
    real, fake = REAL.clone().requires_grad_(), FAKE.clone().requires_grad_()
    assert torch.autograd.gradcheck(getattr(RelativisticAverageLoss(average), player), (real, fake))
    assert torch.autograd.gradcheck(WassersteinLoss().critic, (real, fake))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_large_scores_in_half_precision_give_the_exact_loss(dtype):
    real = torch.full((2, 1, 8), 30000.0).to(dtype).requires_grad_()
    fake = torch.full((2, 1, 8), -30000.0).to(dtype).requires_grad_()
    loss = RelativisticAverageLoss()
    apart = float(real.detach().float().mean() - fake.detach().float().mean())
    assert float(loss.critic(real, fake).detach()) == 0
    generator = loss.generator(real, fake)
    assert float(generator.detach()) == pytest.approx(apart)  # beyond the largest float16
    generator.backward()
    assert torch.isfinite(fake.grad).all()
    assert float(fake.grad.float().sum()) == pytest.approx(-1, rel=1e-2)


def test_wasserstein_is_the_difference_of_the_means():
    assert float(WassersteinLoss().critic(REAL, FAKE)) == -2.0
    assert float(WassersteinLoss().generator(REAL, FAKE)) == 0.5


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="average"):
        RelativisticAverageLoss("voxel")
    for loss in (RelativisticAverageLoss(), WassersteinLoss()):
        with pytest.raises(ValueError, match="one shape"):
            loss.generator(torch.zeros(2, 1), torch.zeros(1, 1))
