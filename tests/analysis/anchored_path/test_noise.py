from types import SimpleNamespace

import numpy as np
import pytest
import torch
from parabola import parabola_variance

from custom.analysis.anchored_path.noise import (
    accumulated_noise,
    endpoint_errors,
    fixed_pattern,
    path_variance,
    preferred_direction,
)
from custom.networks.schedulers.anchored_path import AnchoredPathScheduler
from custom.networks.schedulers.residual_noise import ResidualNoise


def bank(entries=12, side=16, seed=0, edge=0.0):
    """Noise with an optional edge that lies at the same place in every entry."""
    fields = torch.randn(entries, side, side, generator=torch.Generator().manual_seed(seed))
    fields[:, side // 2 :] += edge
    fields = (fields - fields.mean()) / fields.std(correction=0)
    return SimpleNamespace(residuals=fields, rms=0.3)


def generator():
    return torch.Generator().manual_seed(1)


def test_simulated_variance_is_theory_within_five_standard_errors():
    path = AnchoredPathScheduler(num_steps=20, end_std=0.05)
    curve = path_variance(path, ResidualNoise(bank()), 400, generator(), points=11)
    assert curve.steps.tolist() == list(range(0, 21, 2))
    closed = parabola_variance(torch.tensor(curve.steps), 20, path.sigma).numpy()
    np.testing.assert_allclose(curve.theory, closed, rtol=1e-5, atol=1e-12)
    for means, errors in (curve.chain, curve.one_shot):
        assert (np.abs(means - closed) <= 5 * errors + 1e-12).all()
        # tight enough to tell the printed sigma and a missing link from theory
        assert (errors[1:] < 0.1 * closed[1:]).all()


def test_end_of_the_path_is_beta_away_from_the_scan():
    path = AnchoredPathScheduler(num_steps=10, end_std=0.01)
    pairs = [(torch.zeros(1, 1, 12, 20), torch.rand(1, 1, 12, 20))]
    curve = endpoint_errors(path, ResidualNoise(bank()), pairs, 300, generator(), [0.02, 0.5])
    means, errors = curve.mse
    assert (np.abs(means - np.array([0.02, 0.5]) ** 2) < 5 * errors).all()
    assert (errors < 0.05 * means).all()
    assert curve.critical_end_std == pytest.approx(0.3 * np.sqrt(8 / 15 * (10**4 - 1) / 10**5))
    assert curve.used_end_std == pytest.approx(0.01)
    spread = endpoint_errors(path, ResidualNoise(bank()), pairs, 2, generator()).end_std
    assert spread[0] * 100 == pytest.approx(curve.critical_end_std)
    assert spread[-1] / 100 == pytest.approx(curve.critical_end_std)


def test_the_direction_of_edges_is_that_of_a_known_wave():
    x, y = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    angle = torch.tensor([0.0, torch.pi / 6, torch.pi / 2])[:, None, None]
    waves = torch.sin(0.2 * (x * torch.cos(angle) + y * torch.sin(angle)))
    expected = torch.tensor([[1.0, 0.0], [0.5, 0.75**0.5], [-1.0, 0.0]]).double()
    torch.testing.assert_close(preferred_direction(waves), expected, atol=0.02, rtol=0)
    turned = preferred_direction(torch.rot90(waves, 1, (1, 2)))
    torch.testing.assert_close(turned, -preferred_direction(waves), atol=1e-6, rtol=0)
    assert preferred_direction(torch.ones(1, 8, 8)).abs().max() == 0


def test_rotation_takes_a_coherent_edge_away_and_centring_the_pattern():
    path, source = AnchoredPathScheduler(num_steps=50), bank(edge=1.0)
    plain, turned, centred = (
        accumulated_noise(path, ResidualNoise(source, *kind), 200, generator())
        for kind in ((False, False), (True, False), (True, True))
    )
    assert plain.direction[0] > 10 * plain.direction[1]
    assert centred.direction[0] < 5 * centred.direction[1]
    assert plain.fixed_share > turned.fixed_share > centred.fixed_share == 0


@pytest.mark.parametrize("rotate", [False, True])
def test_the_share_that_all_chains_have_in_common_is_that_of_their_covariance(rotate):
    path = AnchoredPathScheduler(num_steps=30)
    noise = ResidualNoise(bank(edge=0.5), rotate=rotate, centre=False)
    shape = (600, 1, 16, 16)
    steps = torch.full((600,), 30)
    first, second = (
        noise.accumulate(path.profile, steps, shape, "cpu", torch.Generator().manual_seed(seed))
        for seed in (2, 3)
    )
    # Independent chains agree only in what is common to all: E[a b] / E[a^2] is its share.
    common = (first * second).flatten(1).mean(1)
    whole = first.square().flatten(1).mean(1)
    error = common.std() / 600**0.5 / whole.mean()
    share = accumulated_noise(path, noise, 2, generator()).fixed_share
    assert abs(common.mean() / whole.mean() - share) < 5 * error
    assert error < 0.02


def test_the_fixed_pattern_is_the_mean_of_many_draws():
    noise = ResidualNoise(bank(edge=1.0), centre=False)
    drawn = noise.draw((4000, 1, 16, 16), "cpu", generator())[:, 0].double()
    error = drawn.std(0) / 4000**0.5
    assert ((drawn.mean(0) - fixed_pattern(noise)).abs() < 5 * error).all()
    assert fixed_pattern(ResidualNoise(bank(edge=1.0))).abs().max() == 0
