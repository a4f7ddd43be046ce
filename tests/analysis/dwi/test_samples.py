import math

import pytest
import torch
from torch import Generator

from custom.analysis.dwi.by_noise import LIMIT, LIMIT_REFITTED, errors_by_noise
from custom.analysis.dwi.estimators import Estimates, SignalEstimator, classical_estimators
from custom.analysis.dwi.samples import NoisyLevel, SignalSamples, mean_of, ratio_of
from custom.physics.diffusion.gradient_table import published_scheme
from custom.physics.diffusion.noise import ClippedGaussianNoise
from custom.physics.diffusion.posterior.importance_sampling import Moments
from custom.physics.diffusion.posterior.mean import Posterior
from custom.physics.diffusion.priors import BallAndSticksPrior, BoxPrior, Draw

TABLE = published_scheme()
SMALL = {"draws": 4000, "own_draws": 200}


def moments(signal):
    size = torch.ones(len(signal))
    return Moments(signal, torch.zeros_like(signal), None, None, size)


def level(count=20000, measurements=4, chance=0.3):
    """Return a level whose posterior mean is 0, known to within ``chance`` from half the draws."""
    rng = Generator().manual_seed(0)
    truth, first, second = torch.randn(3, count, measurements, generator=rng)
    halves = chance * first, chance * second
    whole = moments((halves[0] + halves[1]) / 2)
    posterior = Posterior(whole, (moments(halves[0]), moments(halves[1])))
    return NoisyLevel(0.5, Draw(truth, None), torch.zeros_like(truth), posterior)


def test_the_limit_does_not_count_what_the_draws_are_off_by():
    errors = level().limit_errors()
    standard_error = float(errors.std()) / 20000**0.5
    # Truth has the variance 1 about a mean of 0; the mean of both halves would err by 1 + 0.045.
    assert float(errors.mean()) == pytest.approx(1, abs=5 * standard_error)
    assert 5 * standard_error < 0.03


def test_the_excess_is_the_distance_from_the_exact_mean():
    found = level().compared(torch.full((20000, 4), 0.2))["excess"]
    assert found.value == pytest.approx(0.04, abs=5 * found.error)
    assert 5 * found.error < 0.01


def test_an_exact_posterior_mean_against_itself():
    exact = level(100)
    exact = NoisyLevel(0.5, exact.truth, exact.noisy, Posterior(exact.posterior.whole, None))
    found = exact.compared(exact.posterior.whole.signal.clone())
    assert found["times_limit"] == pytest.approx((1, 0), abs=1e-12)
    assert found["excess"] == (0, 0)


@pytest.fixture(scope="module")
def samples():
    return SignalSamples(BoxPrior(), ClippedGaussianNoise(False), TABLE.b_rows, 400, **SMALL)


def test_noise_that_is_not_cut_has_its_own_error(samples):
    rows = errors_by_noise(classical_estimators(TABLE, 20)[:1], samples, [0.5])
    # The mean of 400 x 32 squares of variance 2.
    assert rows[0]["signal_mse"] == pytest.approx(0.25, abs=5 * 0.25 * (2 / 12800) ** 0.5)
    assert rows[0]["signal_mse_se"] == pytest.approx(0.25 * (2 / 12800) ** 0.5, rel=0.3)


def test_the_limit_is_once_itself_and_the_least(samples):
    rows = errors_by_noise(classical_estimators(TABLE, 20), samples, [0.5])
    by_name = {row["estimator"]: row for row in rows}
    limit = by_name[LIMIT]
    assert limit["signal_times_limit"] == limit["tensor_times_limit"] == 1
    assert limit["signal_excess"] == limit["tensor_excess"] == 0
    assert by_name[LIMIT_REFITTED]["signal_mse"] == limit["signal_mse"]
    assert by_name["DIPY WLS"]["signals"] == 20
    for name in ("noisy", "WLS", "NLLS"):
        assert by_name[name]["signal_mse"] > limit["signal_mse"]
        assert by_name[name]["signal_times_limit"] > 1
        assert by_name[name]["tensor_times_limit"] > 1
    assert by_name["noisy"]["tensor_mse"] == pytest.approx(by_name["WLS"]["tensor_mse"])


def test_tensors_are_measured_in_mm2_per_s(samples):
    truth = samples.truth.tensor

    def estimate(noisy, sigma):
        return Estimates(None, truth + 0.1)

    row = errors_by_noise([SignalEstimator("off", estimate)], samples, [0.5])[0]
    assert row["tensor_mse"] == pytest.approx(1e-8, rel=1e-4)  # (0.1e-3 mm2/s) squared
    assert row["md_mae"] == pytest.approx(1e-4, rel=1e-4)
    assert row["signal_mse"] is None


def test_a_level_is_the_same_whichever_came_before():
    first, second = (
        SignalSamples(BoxPrior(), ClippedGaussianNoise(), TABLE.b_rows, 5, **SMALL)
        for _ in range(2)
    )
    first.level(0.1)
    first.level(0.3)
    torch.testing.assert_close(
        first.level(0.5).posterior.whole.signal, second.level(0.5).posterior.whole.signal
    )
    assert first.level(0.5) is first.level(0.5)


def test_a_part_of_a_level_is_its_first_signals(samples):
    part = samples.level(0.5).first(7)
    assert part.compared(part.noisy)["times_limit"].value == pytest.approx(
        float((part.noisy - part.truth.signal).square().mean() / part.limit_errors().mean()),
        rel=1e-5,
    )
    torch.testing.assert_close(part.limit_errors(), samples.level(0.5).limit_errors()[:7])


def test_mixtures_have_no_tensor():
    samples = SignalSamples(
        BallAndSticksPrior(), ClippedGaussianNoise(), TABLE.b_rows, 20, draws=500
    )
    rows = errors_by_noise(classical_estimators(TABLE, 0), samples, [0.5])
    assert [row["estimator"] for row in rows] == ["noisy", "WLS", "NLLS", LIMIT]
    assert all(row["tensor_mse"] is None for row in rows)
    with pytest.raises(ValueError, match="not of one tensor"):
        samples.level(0.5).limit_errors("tensor")


def test_mean_and_its_error_by_hand():
    found = mean_of(torch.tensor([1.0, 2.0, 3.0, 6.0]))
    assert found.value == 3
    assert found.error == pytest.approx(math.sqrt((4 + 1 + 0 + 9) / 3 / 4))


def test_a_ratio_to_itself_is_one_without_error():
    values = torch.rand(50, generator=torch.Generator().manual_seed(0))
    assert ratio_of(values, values) == pytest.approx((1, 0), abs=1e-12)
    assert ratio_of(3 * values, values).value == pytest.approx(3)
    assert ratio_of(3 * values, values).error == pytest.approx(0, abs=1e-6)  # rounding of 3 x


def test_the_error_of_a_ratio_is_its_scatter():
    rng = torch.Generator().manual_seed(0)
    hard = torch.rand(2000, 400, generator=rng) + 0.1
    first = hard * (1 + 0.2 * torch.randn(hard.shape, generator=rng))
    found = [ratio_of(*pair) for pair in zip(first, hard, strict=True)]
    scatter = torch.tensor([item.value for item in found]).std()
    errors = torch.tensor([item.error for item in found])
    # The deviation of a deviation from 2000 samples: 1 / sqrt(4000), five of them.
    assert float(errors.mean() / scatter) == pytest.approx(1, abs=0.08)
