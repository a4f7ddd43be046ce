"""Ours: it begins as a regularised fit, knows its protocol, and learns posterior moments."""

import math

import pytest
import torch

from custom.losses.signal_losses import PosteriorMomentsLoss
from custom.networks.nets.tensor_informed_denoiser import TensorInformedDenoiser
from custom.physics.diffusion.error_scales import expected_squared_error
from custom.physics.diffusion.gradient_table import published_scheme
from custom.physics.diffusion.noise import ClippedGaussianNoise, MixedLevels, RicianNoise
from custom.physics.diffusion.priors import BallAndSticksPrior, BoxPrior, EigenvaluePrior
from custom.physics.diffusion.simulation import SignalSimulation
from custom.physics.diffusion.tensor_fit import regularised_gauss_newton


def simulation(scale_rule="known", prior=None):
    noise = ClippedGaussianNoise() if scale_rule == "known" else RicianNoise()
    levels = MixedLevels(highest=0.4)
    return SignalSimulation(published_scheme(), prior or BoxPrior(), noise, levels, scale_rule)


@pytest.fixture(scope="module")
def known():
    return simulation()


def network(of, **settings):
    torch.manual_seed(0)
    return TensorInformedDenoiser(**settings).fit_to(of)


def draw(of, count, seed=0):
    return of.draw(count, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("head", ["signal", "tensor"])
def test_untrained_it_is_the_regularised_fit(known, head):
    net, made = network(known, head=head), draw(known, 40)
    mean, deviation = net(made["image"], made["sigma"]).chunk(2, 1)
    parameters, fitted = regularised_gauss_newton(
        made["image"],
        net.b_rows,
        net.prior_mean,
        net.prior_precision,
        made["sigma"].square(),
        30,
    )
    expected = fitted if head == "signal" else parameters
    # Three steps are close to thirty, within a tenth of the noise's own effect.
    scales = known.error_scales
    of = (
        (scales.signal_bound, scales.signal_variance)
        if head == "signal"
        else (scales.tensor_bound, scales.tensor_variance)
    )
    error = expected_squared_error(made["sigma"], *of).sqrt()
    assert ((mean - expected).abs() / error).median() < 0.05
    assert (deviation > 0).all()


def test_clean_signals_of_a_tensor_pass_unharmed(known):
    net, made = network(known), draw(known, 300)
    restored = net(made["label"], torch.zeros(300, 1))[:, :32]
    assert (restored - made["label"]).square().mean() < 1e-6
    # Noise below a thousandth of S_0 counts as that.
    assert torch.equal(restored, net(made["label"], torch.full((300, 1), 1e-3))[:, :32])
    assert not torch.equal(restored, net(made["label"], torch.full((300, 1), 2e-3))[:, :32])


def test_samples_do_not_mix(known):
    net, made = network(known), draw(known, 6)
    together = net(made["image"], made["sigma"])
    alone = torch.cat([net(made["image"][i : i + 1], made["sigma"][i : i + 1]) for i in range(6)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_blind_it_does_not_look_at_the_noise_level(known):
    net, made = network(known, with_sigma=False), draw(known, 5)
    assert torch.equal(net(made["image"]), net(made["image"], made["sigma"]))
    with pytest.raises(ValueError, match="sigma"):
        network(known)(made["image"])


def test_blind_the_noise_is_the_residual_over_the_degrees_of_freedom(known):
    net, made = network(known, with_sigma=False), draw(known, 20)
    for parameter in net.deviation[2].parameters():
        torch.nn.init.zeros_(parameter)  # the deviation is then the expected error
    moments, unknown = (net.prior_mean, net.prior_precision), torch.zeros(20, 1)
    fitted = regularised_gauss_newton(made["image"], net.b_rows, *moments, unknown, 3)[1]
    noise = ((made["image"] - fitted).square().sum(1, keepdim=True) / (32 - 6)).sqrt()
    of = known.error_scales
    expected = expected_squared_error(noise, of.signal_bound, of.signal_variance).sqrt()
    torch.testing.assert_close(net(made["image"])[:, 32:], expected.expand(20, 32))


def test_a_wrong_scale_is_undone():
    """Signals in units of a wrong S_0 are fitted as well as those in units of the right one."""
    scaled = simulation("b0", EigenvaluePrior())
    net = network(scaled, with_scale=True)
    clean = scaled.prior.draw(200, scaled.b_rows, torch.Generator().manual_seed(1)).signal
    sigma = torch.full((200, 1), 0.002)
    for factor in (0.9, 1.0, 1.1):
        restored = net(factor * clean, sigma)[:, :32]
        assert (restored / factor - clean).square().mean().sqrt() < 0.01


@pytest.mark.parametrize("head", ["signal", "tensor"])
def test_training_makes_the_error_and_its_estimate_right(known, head):
    """A short training makes it better than the fit it begins as, and its deviations right."""
    net = network(known, head=head, width=32, num_blocks=1)
    loss = PosteriorMomentsLoss(known.error_scales, head == "tensor")
    key = "label" if head == "signal" else "tensor"
    test = draw(known, 4000, seed=99)

    def measure():
        with torch.no_grad():
            mean, deviation = net(test["image"], test["sigma"]).chunk(2, 1)
        of = known.error_scales
        scale = of.signal_bound, of.signal_variance
        if head == "tensor":
            scale = of.tensor_bound, of.tensor_variance
        squared = (mean - test[key]).square()
        relative = (squared / expected_squared_error(test["sigma"], *scale)).mean().item()
        return relative, (squared / deviation.square()).mean().item()

    before, _ = measure()
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for step in range(250):
        made = draw(known, 256, seed=step)
        target = torch.cat([made[key], made["sigma"]], 1)
        value = loss(net(made["image"], made["sigma"]), target)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    after, calibration = measure()
    assert after < 0.97 * before
    assert calibration == pytest.approx(1.0, abs=0.25)


@pytest.mark.parametrize(
    ("log", "factor"), [(2.0, math.exp(2)), (-50, math.exp(-3)), (50, math.exp(4))]
)
def test_the_deviation_stays_in_a_range_about_the_expected_error(known, log, factor):
    net, made = network(known), draw(known, 20)
    torch.nn.init.zeros_(net.deviation[2].weight)
    torch.nn.init.constant_(net.deviation[2].bias, log)
    deviation = net(made["image"], made["sigma"])[:, 32:]
    of = known.error_scales
    expected = expected_squared_error(made["sigma"], of.signal_bound, of.signal_variance).sqrt()
    torch.testing.assert_close(deviation, factor * expected.expand(20, 32))


def test_the_deviation_s_training_leaves_the_estimate_alone(known):
    net, made = network(known), draw(known, 20)
    net(made["image"], made["sigma"])[:, 32:].sum().backward()
    # Through the deviation's own layers only: the features are used as they are.
    assert not net.inputs.weight.grad.any()
    assert not net.correction.weight.grad.any()
    assert net.deviation[0].weight.grad.any()


def test_mixtures_may_be_corrected_beyond_what_noise_would_explain():
    of = simulation(prior=BallAndSticksPrior())
    net = network(of)
    assert float(net.signal_misfit) == float(of.error_scales.signal_misfit) > 0


def test_half_precision_leaves_the_fit_as_it_is(known):
    net, made = network(known), draw(known, 50)
    full = net(made["image"], made["sigma"])[:, :32]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = net(made["image"], made["sigma"])[:, :32]
    torch.testing.assert_close(half, full, rtol=0.0, atol=1e-6)


@pytest.mark.parametrize("head", ["signal", "tensor"])
@pytest.mark.parametrize("with_sigma", [True, False])
def test_it_exports_to_torchscript(known, head, with_sigma):
    net, made = network(known, head=head, with_sigma=with_sigma).eval(), draw(known, 5)
    given = (made["image"], made["sigma"])
    torch.testing.assert_close(torch.jit.script(net)(*given), net(*given))


def test_what_does_not_fit_is_refused(known):
    with pytest.raises(ValueError, match="with_scale"):
        network(known, with_scale=True)
    with pytest.raises(ValueError, match="num_measurements"):
        network(known, num_measurements=20)
    with pytest.raises(ValueError, match="head"):
        TensorInformedDenoiser(head="fibre")
    with pytest.raises(ValueError, match="width"):
        TensorInformedDenoiser(width=0)
