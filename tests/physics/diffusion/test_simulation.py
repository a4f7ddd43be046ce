"""Simulated signals: what is in a batch, and the unit it is in."""

import numpy as np
import pytest
import torch

from custom.physics.diffusion.gradient_table import published_scheme
from custom.physics.diffusion.noise import ClippedGaussianNoise, MixedLevels, RicianNoise
from custom.physics.diffusion.priors import BallAndSticksPrior, BoxPrior
from custom.physics.diffusion.simulation import SignalSimulation
from custom.physics.diffusion.tensor import tensor_signal


def simulation(scale_rule="known", prior=None, noise=None):
    return SignalSimulation(
        published_scheme(),
        prior or BoxPrior(),
        noise or ClippedGaussianNoise(),
        MixedLevels(),
        scale_rule,
    )


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_label_and_tensor_belong_together_and_noise_has_the_level_that_is_told():
    made = simulation(noise=ClippedGaussianNoise(clip=False)).draw(20_000, generator())
    torch.testing.assert_close(
        made["label"], tensor_signal(made["tensor"], published_scheme().b_rows)
    )
    scores = ((made["image"] - made["label"]) / made["sigma"]).double()
    count = scores.numel()
    assert abs(float(scores.mean())) < 5 / np.sqrt(count)
    assert abs(float(scores.square().mean()) - 1) < 5 * np.sqrt(2 / count)


def test_a_scale_from_b0_divides_everything_by_one_number():
    known = simulation("known", noise=RicianNoise()).draw(500, generator())
    scaled = simulation("b0", noise=RicianNoise()).draw(500, generator())
    unweighted = torch.from_numpy(published_scheme().unweighted)
    unit = known["image"][:, unweighted].mean(1, keepdim=True).clamp_min(0.2)
    for key in ("image", "label", "sigma"):
        torch.testing.assert_close(scaled[key] * unit, known[key])
    torch.testing.assert_close(scaled["tensor"], known["tensor"])


def test_mixtures_have_no_tensor():
    made = simulation(prior=BallAndSticksPrior()).draw(10, generator())
    assert set(made) == {"image", "label", "sigma"}


def test_a_b0_scale_is_a_seventh_parameter():
    known, scaled = simulation().error_scales, simulation("b0").error_scales
    assert known.mean.shape == (6,)
    assert scaled.mean.shape == (7,)
    assert float(known.signal_bound) == pytest.approx(6 / 32)
    assert float(scaled.signal_bound) == pytest.approx(7 / 32)


def test_the_scale_s_variance_is_found_in_the_draws():
    """At one noise level, the true scale over its estimate varies as the mean of two volumes."""
    from custom.physics.diffusion.noise import PublishedLevels

    levels = PublishedLevels(1)
    levels.values = torch.tensor([0.1])
    made = SignalSimulation(published_scheme(), BoxPrior(), ClippedGaussianNoise(), levels, "b0")
    variance = 1 / float(made.error_scales.precision[6, 6])
    # sigma / sqrt(2) over a signal of about exp(-0.05 MD), 0.93.
    assert variance == pytest.approx(0.1**2 / 2 / 0.93**2, rel=0.25)


def test_settings_are_refused_in_one_line():
    with pytest.raises(ValueError, match="scale_rule"):
        simulation("fit")
    table = published_scheme().select(np.arange(1, 31))
    with pytest.raises(ValueError, match="b <= 55"):
        SignalSimulation(table, BoxPrior(), RicianNoise(), MixedLevels(), "b0")


def test_a_training_of_another_protocol_is_not_gone_on_with():
    saved = simulation().state_dict()
    simulation().load_state_dict(saved)
    turned = published_scheme().select(np.arange(31, -1, -1))
    turned.bvecs[5] = turned.bvecs[6]
    other = SignalSimulation(turned, BoxPrior(), ClippedGaussianNoise(), MixedLevels())
    for wrong in (other, simulation("b0")):
        with pytest.raises(ValueError, match="another protocol"):
            wrong.load_state_dict(saved)
