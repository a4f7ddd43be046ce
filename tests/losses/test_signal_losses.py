"""Losses of restored signals, against torch's own distributions and calculation by hand."""

import math

import pytest
import torch
from torch.distributions import Normal
from torch.distributions import kl_divergence as reference_divergence

from custom.losses.signal_losses import PosteriorMomentsLoss, VariationalLoss, kl_divergence
from custom.physics.diffusion.error_scales import ErrorScales


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def scales(bound=0.2, variance=0.03):
    return ErrorScales(
        signal_bound=torch.tensor(bound),
        signal_variance=torch.tensor(variance),
        tensor_bound=torch.linspace(4, 6, 6),
        tensor_variance=torch.linspace(0.3, 0.5, 6),
        signal_misfit=torch.tensor(0.0),
        mean=torch.zeros(6),
        precision=torch.eye(6),
    )


def test_the_divergence_is_that_of_torch():
    mean, log_variance = torch.randn(2, 50, 7, generator=generator(), dtype=torch.float64)
    mine = kl_divergence(mean, log_variance)
    given = Normal(mean, (0.5 * log_variance).exp())
    standard = Normal(torch.zeros_like(mean), torch.ones_like(mean))
    torch.testing.assert_close(mine, reference_divergence(given, standard).sum(1))
    assert (mine > 0).all()
    assert kl_divergence(torch.zeros(1, 3), torch.zeros(1, 3)).item() == 0.0


def test_the_weight_grows_as_published():
    loss = VariationalLoss()
    weights = []
    for epoch in range(1, 41):
        loss.set_epoch(epoch)
        weights.append(loss.weight)
    assert weights[:3] == pytest.approx([0.0, 1e-4, 2e-4])
    assert weights[15] == pytest.approx(1.5e-3)  # epoch 16
    assert weights[39] == pytest.approx(1.5e-3)


def test_a_delayed_start_and_none_at_all():
    delayed = VariationalLoss(kld_step=None, kld_start=16)
    delayed.set_epoch(15)
    assert delayed.weight == 0.0
    delayed.set_epoch(16)
    assert delayed.weight == 1.5e-3
    off = VariationalLoss(kld_weight=0.0)
    off.set_epoch(40)
    assert off.weight == 0.0


@pytest.mark.parametrize(
    ("kind", "error"),
    [("huber", 0.5 * 0.3**2), ("l1", 0.3), ("mse", 0.3**2)],
)
def test_both_terms_by_hand(kind, error):
    loss = VariationalLoss(kind, scale=10.0)
    loss.set_epoch(3)  # weight 2e-4
    clean = torch.full((4, 5), 0.4)
    latents = torch.tensor([[1.0, 0.0, 0.0, math.log(4.0)]]).expand(4, 4)
    prediction = torch.cat([clean + 0.3, latents], 1)
    target = torch.cat([clean, torch.full((4, 1), 9.0)], 1)
    # By hand: latent 1 has mean 1 and variance 1, latent 2 mean 0 and variance 4.
    divergence = 0.5 + 0.5 * (4 - 1 - math.log(4))
    value = loss(prediction, target).item()
    assert value == pytest.approx(10 * error + 2e-4 * divergence, rel=1e-5)
    terms = {"reconstruction": error, "kld": divergence}
    assert {name: term.item() for name, term in loss.terms.items()} == pytest.approx(terms)
    assert loss(clean + 0.3, target).item() == pytest.approx(10 * error, rel=1e-5)


def test_the_minimum_is_the_mean_and_the_deviation_of_the_truth():
    """Of truths scattered about 0.7 by 0.2, given one input, both are found by descent."""
    truths = 0.7 + 0.2 * torch.randn(20_000, 1, generator=generator(), dtype=torch.float64)
    target = torch.cat([truths, torch.full_like(truths, 0.1)], 1)
    loss = PosteriorMomentsLoss(scales())
    values = torch.tensor([0.0, 0.0], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([values], max_iter=200, line_search_fn="strong_wolfe")

    def step():
        optimizer.zero_grad()
        prediction = torch.stack([values[0], values[1].exp()]).expand(len(truths), 2)
        value = loss(prediction, target)
        value.backward()
        return value

    for _ in range(5):
        optimizer.step(step)
    assert values[0].item() == pytest.approx(truths.mean().item(), abs=1e-4)
    deviation = (truths - truths.mean()).square().mean().sqrt().item()
    assert values[1].exp().item() == pytest.approx(deviation, rel=1e-3)


def test_by_hand_for_a_signal_and_for_a_tensor():
    sigma, residual, deviation = 0.1, 0.05, 0.04
    expected = 1 / (1 / (0.2 * sigma**2) + 1 / 0.03)
    ratio = deviation**2 / expected
    by_hand = residual**2 / expected + 0.5 * (residual**2 / deviation**2 + math.log(ratio))
    prediction = torch.tensor([[0.55, deviation]])
    target = torch.tensor([[0.5, sigma]])
    value = PosteriorMomentsLoss(scales())(prediction, target).item()
    assert value == pytest.approx(by_hand, rel=1e-4)

    of = scales()
    expected = 1 / (1 / (of.tensor_bound * sigma**2) + 1 / of.tensor_variance)
    prediction = torch.cat([torch.full((1, 6), 1.1), expected.sqrt().unsqueeze(0)], 1)
    target = torch.tensor([[*[1.0] * 6, sigma]])
    by_hand = 0.01 / expected.mean() + 0.5 * (0.01 / expected).mean()
    value = PosteriorMomentsLoss(of, of_tensor=True)(prediction, target).item()
    assert value == pytest.approx(by_hand.item(), rel=1e-4)


def test_the_deviation_does_not_pull_at_the_estimate():
    sigma, residual = 0.1, 0.05
    expected = 1 / (1 / (0.2 * sigma**2) + 1 / 0.03)
    loss = PosteriorMomentsLoss(scales())
    for deviation in (0.01, 0.04, 1.0):
        prediction = torch.tensor([[0.5 + residual, deviation]], requires_grad=True)
        loss(prediction, torch.tensor([[0.5, sigma]])).backward()
        estimate, spread = prediction.grad[0].tolist()
        assert estimate == pytest.approx(2 * residual / expected, rel=1e-4)
        slope = (1 - (residual / deviation) ** 2) / deviation
        assert spread == pytest.approx(slope, rel=1e-4)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"reconstruction": "l2"}, "reconstruction"),
        ({"scale": 0.0}, "scale"),
        ({"kld_step": -1.0}, "kld_step"),
        ({"kld_start": 0}, "kld_start"),
    ],
)
def test_settings_are_refused(settings, says):
    with pytest.raises(ValueError, match=says):
        VariationalLoss(**settings)
