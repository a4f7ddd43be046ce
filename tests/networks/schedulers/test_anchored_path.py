import logging
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from parabola import parabola_variance

from custom.networks.schedulers.anchored_path import AnchoredPathScheduler
from custom.networks.schedulers.noise_profiles import NOISE_PROFILES, noise_profile

# Sum of f(s)^2 over s = 1..T in closed form, T even.
ENERGIES = {
    "parabola": lambda steps: 8 / 15 * (steps**4 - 1) / steps**3,
    "sine": lambda steps: steps / 2,
    "cosine_bell": lambda steps: 3 * steps / 8,
    "triangle": lambda steps: steps / 3 + 2 / (3 * steps),
    "constant": lambda steps: steps,
}
# Of zero mean and unit variance: two-sided and bounded, and one-sided with a heavy tail.
NOISES = {
    "uniform": lambda rng, shape: rng.uniform(-math.sqrt(3), math.sqrt(3), shape),
    "exponential": lambda rng, shape: rng.exponential(size=shape) - 1,
}


def steps_of(*values):
    return torch.tensor(values, dtype=torch.int64)


@pytest.mark.parametrize("num_steps", [4, 10, 1000])
@pytest.mark.parametrize("name", NOISE_PROFILES)
def test_sigma_and_end_follow_the_closed_forms(name, num_steps):
    scheduler = AnchoredPathScheduler(num_steps, 0.3, name)
    assert scheduler.sigma == pytest.approx(0.3 / math.sqrt(ENERGIES[name](num_steps)), rel=1e-12)
    assert scheduler.noise_std[-1] == np.float32(0.3)
    assert scheduler.noise_std[0] == 0


@pytest.mark.parametrize("num_steps", [2, 10, 1000])
def test_noise_of_the_parabola_follows_the_closed_form_along_the_path(num_steps):
    scheduler = AnchoredPathScheduler(num_steps, 0.3)
    variance = parabola_variance(torch.arange(num_steps + 1), num_steps, scheduler.sigma)
    np.testing.assert_allclose(scheduler.noise_std.numpy(), variance.sqrt().numpy(), rtol=1e-6)


def walk(scheduler, clean, anchor, noises):
    """Go along the chain link by link; yield every image, from step 1 on."""
    x = clean
    for t, noise in enumerate(noises, start=1):
        x = scheduler.step_forward(x, anchor - clean, noise, torch.full((len(clean),), t))
        yield x


@pytest.mark.parametrize("law", NOISES)
@pytest.mark.parametrize("name", NOISE_PROFILES)
def test_the_chain_has_the_stated_moments_at_every_step(name, law):
    num_steps, draws = 8, 40_000
    scheduler = AnchoredPathScheduler(num_steps, 0.4, name)
    rng = np.random.default_rng(sum(map(ord, name + law)))
    noises = torch.from_numpy(NOISES[law](rng, (num_steps, draws, 1)))
    clean = torch.full((draws, 1), -1.0, dtype=torch.float64)
    anchor = torch.full((draws, 1), 2.0, dtype=torch.float64)
    for t, x in enumerate(walk(scheduler, clean, anchor, noises), start=1):
        mean, std = scheduler.moments(clean[:1], anchor[:1], steps_of(t))
        residual = x.numpy() - mean.item()
        assert abs(residual.mean()) < 5 * residual.std() / math.sqrt(draws)
        squares = residual**2
        error = squares.std() / math.sqrt(draws)
        assert abs(squares.mean() - std.item() ** 2) < 5 * error
    np.testing.assert_allclose(mean.numpy(), 2.0)
    assert std.item() == pytest.approx(0.4)


@pytest.mark.parametrize("beta", [0.05, 0.7])
def test_the_mean_square_distance_from_the_anchor_is_beta_squared(beta):
    # As printed, with beta under the root, it would be beta.
    scheduler = AnchoredPathScheduler(10, beta)
    generator = torch.Generator().manual_seed(3)
    noises = torch.randn(10, 1, 1, 200, 200, generator=generator)
    clean, anchor = torch.randn(2, 1, 1, 200, 200, generator=generator)
    *_, end = walk(scheduler, clean, anchor, noises)
    squares = (end - anchor).square().double()
    error = squares.std() / math.sqrt(squares.numel())
    assert abs(squares.mean() - beta**2) < 5 * error


@pytest.mark.parametrize("shape", [(2, 1), (2, 3, 5, 4), (2, 1, 4, 3, 5)])
def test_moments_at_the_end_points_and_between(shape):
    scheduler = AnchoredPathScheduler(10, 0.2)
    clean, anchor = torch.randn(2, *shape, dtype=torch.float64)
    mean, std = scheduler.moments(clean, anchor, steps_of(0, 10))
    torch.testing.assert_close(mean, torch.stack([clean[0], anchor[1]]), rtol=0, atol=1e-15)
    assert std.shape == (2, *[1] * (len(shape) - 1))
    assert std.flatten().tolist() == pytest.approx([0, 0.2], rel=1e-6)
    mean, _ = scheduler.moments(clean, anchor, steps_of(5, 1))
    torch.testing.assert_close(mean[0], (clean[0] + anchor[0]) / 2)
    torch.testing.assert_close(mean[1], 0.9 * clean[1] + 0.1 * anchor[1], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_images_keep_their_type_and_the_tables_theirs(dtype):
    scheduler = AnchoredPathScheduler(10, 0.2)
    before = scheduler.noise_std.clone(), scheduler.profile.clone()
    image = torch.ones(2, 1, 3, 3, dtype=dtype)
    step, back = steps_of(3, 10), steps_of(2, 5)
    results = [
        *scheduler.moments(image, image, step),
        scheduler.step_forward(image, image, image, step),
        scheduler.estimate_clean(image, image, step),
        scheduler.step_back(image, image, step, back, image),
    ]
    assert {result.dtype for result in results} == {dtype}
    assert torch.equal(scheduler.noise_std, before[0])
    assert torch.equal(scheduler.profile, before[1])
    assert not scheduler.state_dict()


@pytest.mark.parametrize(
    ("parameterisation", "gain"),
    [
        ("path", lambda t: 1.0),
        ("scaled_path", lambda t: t / 10),
        ("noise_schedule", lambda t: 4 * t / 10 * (1 - t / 10)),
    ],
)
def test_estimate_of_the_clean_image(parameterisation, gain):
    scheduler = AnchoredPathScheduler(10, 0.2, parameterisation=parameterisation)
    x, prediction = torch.randn(2, 11, 1, 3, 3, dtype=torch.float64)
    estimate = scheduler.estimate_clean(x, prediction, torch.arange(11))
    for t in range(11):
        expected = x[t] - gain(t) * prediction[t]
        torch.testing.assert_close(estimate[t], expected, rtol=1e-6, atol=1e-6)


def test_as_published_the_first_reverse_step_corrects_nothing():
    x, prediction = torch.randn(2, 1, 1, 4, 4)
    step = steps_of(10)
    published = AnchoredPathScheduler(10, 0.2, parameterisation="noise_schedule")
    assert torch.equal(published.estimate_clean(x, prediction, step), x)
    for parameterisation in ("path", "scaled_path"):
        ours = AnchoredPathScheduler(10, 0.2, parameterisation=parameterisation)
        torch.testing.assert_close(ours.estimate_clean(x, prediction, step), x - prediction)


@pytest.mark.parametrize(("step", "to_step"), [(10, 9), (10, 0), (7, 3), (1, 0)])
def test_a_step_back_from_the_mean_path_stays_on_it(step, to_step):
    scheduler = AnchoredPathScheduler(10, 0.2)
    clean, anchor = torch.randn(2, 1, 1, 4, 4, dtype=torch.float64)
    x = scheduler.moments(clean, anchor, steps_of(step))[0]
    expected = scheduler.moments(clean, anchor, steps_of(to_step))[0]
    actual = scheduler.step_back(x, clean, steps_of(step), steps_of(to_step))
    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-6)


def added_std(scheduler, step, to_step):
    """Deviation of the noise of a step back, read off an image of zeros."""
    zero, one = torch.zeros(1, 1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)
    return scheduler.step_back(zero, zero, steps_of(step), steps_of(to_step), one).item()


@pytest.mark.parametrize("name", NOISE_PROFILES)
def test_noise_of_one_step_back_is_that_of_its_link(name):
    scheduler = AnchoredPathScheduler(1000, 0.3, name)
    profile = noise_profile(name, 1000).numpy()
    for t in (1, 2, 500, 999, 1000):
        expected = scheduler.sigma * profile[t]
        assert added_std(scheduler, t, t - 1) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", NOISE_PROFILES)
def test_noise_of_a_stride_is_that_of_its_links_together(name):
    scheduler = AnchoredPathScheduler(20, 0.3, name)
    single = [added_std(scheduler, t, t - 1) ** 2 for t in range(1, 21)]
    for step, to_step in [(20, 0), (20, 10), (13, 4), (5, 0)]:
        expected = math.sqrt(sum(single[to_step:step]))
        assert added_std(scheduler, step, to_step) == pytest.approx(expected, rel=1e-6)
    assert added_std(scheduler, 20, 0) == pytest.approx(0.3, rel=1e-6)


def test_samples_of_a_batch_do_not_mix():
    scheduler = AnchoredPathScheduler(10, 0.2, parameterisation="noise_schedule")
    x, other, noise = torch.randn(3, 4, 1, 3, 3)
    step, back = steps_of(1, 4, 9, 10), steps_of(0, 1, 8, 5)

    def everything(part):
        arguments = x[part], other[part]
        return [
            *scheduler.moments(*arguments, step[part]),
            scheduler.step_forward(*arguments, noise[part], step[part]),
            scheduler.estimate_clean(*arguments, step[part]),
            scheduler.step_back(*arguments, step[part], back[part], noise[part]),
        ]

    together = everything(slice(None))
    for k in range(4):
        for whole, alone in zip(together, everything(slice(k, k + 1)), strict=True):
            torch.testing.assert_close(whole[k : k + 1], alone)


@settings(deadline=None)
@given(st.integers(2, 300).flatmap(lambda t: st.tuples(st.just(t), st.integers(1, t))))
def test_timesteps_are_evenly_spread_from_the_end_to_zero(case):
    total, count = case
    steps = AnchoredPathScheduler(total).timesteps(count)
    assert steps.dtype == torch.int64
    assert len(steps) == count
    assert steps[0] == total
    # The nearest whole numbers; twice the distance, in integers, lets no rounding in.
    away = [abs(int(s) * count - total * (count - k)) for k, s in enumerate(steps)]
    assert 2 * max(away) <= count
    assert (steps.diff() < 0).all()


def test_all_timesteps_by_default():
    assert AnchoredPathScheduler(7).timesteps().tolist() == [7, 6, 5, 4, 3, 2, 1]


def test_more_steps_than_there_are_is_one_clear_line():
    with pytest.raises(ValueError, match=r"num_inference_steps .*1\.\.num_steps \(100\).*101"):
        AnchoredPathScheduler(100).timesteps(101)


@pytest.mark.parametrize(
    ("count", "rule"),
    [(0, "at least 1"), (-1, "at least 1"), (2.5, "a whole number"), ("ten", "a whole number")],
)
def test_numbers_of_steps_that_cannot_be_are_refused(count, rule):
    with pytest.raises(ValueError, match=f"num_inference_steps must be {rule}, got .*{count}"):
        AnchoredPathScheduler(100).timesteps(count)


@pytest.mark.parametrize("num_steps", [2, 10, 1000])
def test_critical_end_of_the_parabola(num_steps):
    expected = math.sqrt(8 / 15 * (num_steps**4 - 1) / num_steps**5) * 0.7
    actual = AnchoredPathScheduler(num_steps).critical_end_std(0.7)
    assert actual == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", NOISE_PROFILES)
def test_at_the_critical_end_a_step_s_noise_equals_its_way(name):
    critical = AnchoredPathScheduler(50, 0.1, name).critical_end_std(0.7)
    assert AnchoredPathScheduler(50, critical, name).sigma == pytest.approx(0.7 / 50, rel=1e-12)


def test_one_warning_above_the_critical_end_and_none_below(caplog):
    critical = AnchoredPathScheduler(100).critical_end_std(0.5)
    with caplog.at_level(logging.INFO):
        AnchoredPathScheduler(100, 0.99 * critical).warn_if_unstable(0.5)
    assert not caplog.records
    AnchoredPathScheduler(100, 2 * critical).warn_if_unstable(0.5)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    message = record.getMessage()
    assert f"end_std {2 * critical:.4g}" in message
    assert f"critical value {critical:.4g}" in message
    assert "\n" not in message


@pytest.mark.parametrize("num_steps", [2, 100])
def test_positions_are_what_the_network_sees(num_steps):
    positions = AnchoredPathScheduler(num_steps).positions(torch.arange(num_steps + 1))
    assert positions.dtype == torch.float32
    np.testing.assert_allclose(positions.numpy(), np.linspace(0, 1, num_steps + 1), rtol=1e-7)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"num_steps": 1}, "num_steps"),
        ({"num_steps": 2.5}, "num_steps"),
        ({"num_steps": "ten"}, "num_steps"),
        ({"end_std": "small"}, "end_std"),
        ({"end_std": 0}, "end_std"),
        ({"end_std": math.nan}, "end_std"),
        ({"noise_profile": "gauss"}, "noise_profile"),
        ({"parameterisation": "noise"}, "parameterisation"),
    ],
)
def test_bad_arguments_are_named(arguments, name):
    with pytest.raises(ValueError, match=f"{name} must be .*{next(iter(arguments.values()))}"):
        AnchoredPathScheduler(**arguments)
