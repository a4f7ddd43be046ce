import math
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from custom.errors import InputError
from custom.networks.schedulers.anchored_path import AnchoredPathScheduler
from custom.networks.schedulers.noise_profiles import NOISE_PROFILES, noise_profile
from custom.networks.schedulers.residual_noise import ResidualNoise

SIZE, ENTRIES, STEPS = 5, 3, 6
DRAWS = 8_000
# Full size, a window, mirrored along both axes, and one of each.
SHAPES = [(5, 5), (3, 4), (7, 6), (4, 8)]


def bank_of(residuals):
    """Normalise residuals as a bank does."""
    residuals = (residuals - residuals.mean()) / residuals.std()
    return SimpleNamespace(residuals=torch.from_numpy(residuals.astype(np.float32)), rms=0.7)


@pytest.fixture(scope="module")
def bank():
    """Few residuals with a gradient, skewed values and neighbours that go together."""
    rng = np.random.default_rng(1)
    white = rng.exponential(size=(ENTRIES, SIZE, SIZE))
    return bank_of(white + np.roll(white, 1, axis=2) + 0.5 * np.arange(SIZE))


def possible_fields(bank, rotate, centre):
    """All fields that a draw can give, each as likely, ``(M, S, S)``; by NumPy alone."""
    turns = range(4) if rotate else [0]
    residuals = bank.residuals.double().numpy()
    fields = np.array([np.rot90(e, k) for e, k in product(residuals, turns)])
    if centre:
        fields = fields - fields.mean(0)
        fields = fields / fields.std()
    return fields


def window(field, offset, shape):
    """Cut a window out of the mirror-periodic continuation of a field."""
    period = np.pad(field, [(0, length) for length in field.shape], mode="symmetric")
    rows, columns = (o + n for o, n in zip(offset, shape, strict=True))
    tiles = [-(-end // length) for end, length in zip((rows, columns), period.shape, strict=True)]
    return np.tile(period, tiles)[offset[0] : rows, offset[1] : columns]


def all_offsets(shape):
    return product(*(range(SIZE - n + 1) if n <= SIZE else range(2 * SIZE) for n in shape))


def exact_moments(fields, gains, shape):
    """Mean and raw second moments of the summed noise, over fields and offsets, flattened."""
    means, seconds = [], []
    for offset in all_offsets(shape):
        cut = np.array([window(field, offset, shape).ravel() for field in fields])
        mean = cut.mean(0)
        covariance = cut.T @ cut / len(cut) - np.outer(mean, mean)
        means.append(gains.sum() * mean)
        seconds.append((gains**2).sum() * covariance + gains.sum() ** 2 * np.outer(mean, mean))
    return np.mean(means, axis=0), np.mean(seconds, axis=0)


def one_shot(noise, profile, step, shape, generator):
    return noise.accumulate(profile, torch.full((DRAWS,), step), shape, generator=generator)


def chain(noise, profile, step, shape, generator):
    offset = noise.draw_offset(shape, generator)
    links = range(1, step + 1)
    return sum(profile[s].float() * noise.draw(shape, "cpu", generator, offset) for s in links)


@pytest.mark.parametrize("way", [one_shot, chain])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("rotate", "centre"), list(product([True, False], repeat=2)))
def test_moments_and_autocorrelation_are_those_of_the_bank(bank, way, shape, rotate, centre):
    step, profile = 4, noise_profile("parabola", STEPS)
    generator = torch.Generator().manual_seed(7)
    noise = ResidualNoise(bank, rotate, centre)
    drawn = way(noise, profile, step, (DRAWS, 1, *shape), generator)
    drawn = drawn.flatten(1).double().numpy()
    fields = possible_fields(bank, rotate, centre)
    mean, second = exact_moments(fields, profile[1 : step + 1].numpy(), shape)

    error = drawn.std(0) / math.sqrt(DRAWS)
    assert (np.abs(drawn.mean(0) - mean) < 5 * error).all()
    # Every pair of pixels, so every lag of the autocorrelation, at every place.
    actual = drawn.T @ drawn / DRAWS
    fourth = (drawn**2).T @ drawn**2 / DRAWS
    error = np.sqrt((fourth - actual**2) / DRAWS)
    assert (np.abs(actual - second) < 5 * error).all()


@pytest.mark.parametrize("name", NOISE_PROFILES)
@pytest.mark.parametrize("shape", [(5, 5), (3, 7)])
def test_one_shot_and_chain_have_one_distribution(bank, name, shape):
    generator = torch.Generator().manual_seed(11)
    noise, profile = ResidualNoise(bank), noise_profile(name, STEPS)
    both = [
        way(noise, profile, STEPS, (DRAWS, 1, *shape), generator).flatten(1).numpy()
        for way in (one_shot, chain)
    ]
    # Single pixels, and sums over the image that any dependence between pixels changes.
    directions = np.random.default_rng(2).normal(size=(math.prod(shape), 4))
    directions = np.hstack([directions, np.eye(math.prod(shape))[:, ::4]])
    for direction in directions.T:
        # Rounded: equal sums in another order must count as equal.
        values = [np.round(drawn @ direction, 4) for drawn in both]
        assert ks_2samp(*values).pvalue > 5.7e-7  # five standard errors


@pytest.mark.parametrize(("rotate", "centre"), list(product([True, False], repeat=2)))
def test_every_possible_field_is_drawn_as_often(bank, rotate, centre):
    noise = ResidualNoise(bank, rotate, centre)
    generator = torch.Generator().manual_seed(5)
    drawn = noise.draw((DRAWS, 1, SIZE, SIZE), generator=generator).flatten(1).numpy()
    fields = possible_fields(bank, rotate, centre).reshape(-1, SIZE**2)
    distances = np.abs(drawn[:, None] - fields).max(2)
    assert distances.min(1).max() < 1e-5
    share = np.bincount(distances.argmin(1), minlength=len(fields)) / DRAWS
    expected = 1 / len(fields)
    error = math.sqrt(expected * (1 - expected) / DRAWS)
    assert np.abs(share - expected).max() < 5 * error


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 17), st.integers(1, 17), st.integers(0, 2**31), st.booleans())
def test_a_draw_is_a_window_of_the_mirrored_field(bank, height, width, seed, rotate):
    noise = ResidualNoise(bank, rotate)
    generator = torch.Generator().manual_seed(seed)
    shape = (2, 1, height, width)
    offset = noise.draw_offset(shape, generator)
    drawn = noise.draw(shape, "cpu", generator, offset)
    assert drawn.shape == shape
    assert drawn.dtype == torch.float32
    fields = possible_fields(bank, rotate, centre=True)
    for image, place in zip(drawn[:, 0].numpy(), offset.tolist(), strict=True):
        candidates = np.array([window(field, place, (height, width)) for field in fields])
        assert np.abs(candidates - image).max((1, 2)).min() < 1e-5


@pytest.mark.parametrize("shape", SHAPES)
def test_offsets_reach_every_place(bank, shape):
    offsets = ResidualNoise(bank).draw_offset((5000, 1, *shape))
    assert {tuple(place) for place in offsets.tolist()} == set(all_offsets(shape))


def test_centring_leaves_nothing_in_any_pixel_to_add_up(bank):
    gains = np.ones(1000)
    for rotate in (True, False):
        fields = ResidualNoise(bank, rotate)._fields("cpu").double().numpy()
        turned = [np.rot90(e, k) for e, k in product(fields, range(4) if rotate else [0])]
        np.testing.assert_allclose(np.mean(turned, axis=0), 0, atol=1e-7)
        assert np.std(turned) == pytest.approx(1, rel=1e-6)
    # What the source's noise does in a long chain: the mean outgrows the deviation.
    mean, second = exact_moments(possible_fields(bank, True, False), gains, (SIZE, SIZE))
    assert np.abs(mean).max() > 2 * math.sqrt(np.diag(second - np.outer(mean, mean)).max())


@pytest.mark.parametrize("centre", [True, False])
def test_turns_cancel_an_edge_that_all_residuals_share(centre):
    edge = np.where(np.arange(8) < 4, -1.0, 1.0) * np.ones((8, 1))
    shared = edge + np.random.default_rng(0).normal(scale=0.5, size=(40, 8, 8))
    profile, step = noise_profile("parabola", 20), torch.full((4000,), 20)
    contrast = {}
    for rotate in (True, False):
        noise = ResidualNoise(bank_of(shared), rotate, centre)
        generator = torch.Generator().manual_seed(3)
        drawn = noise.accumulate(profile, step, (4000, 1, 8, 8), generator=generator)
        sides = (drawn[..., 4:].mean((1, 2, 3)) - drawn[..., :4].mean((1, 2, 3))).numpy()
        contrast[rotate] = sides.mean(), 5 * sides.std() / math.sqrt(len(sides))
    scale = shared.std()
    # Exactly 0 in expectation: a half turn swaps the sides.
    assert abs(contrast[True][0]) < contrast[True][1]
    summed = 0 if centre else profile.sum().item() * (shared * edge).mean() * 2 / scale
    assert abs(contrast[False][0] - summed) < contrast[False][1]


@pytest.mark.parametrize("name", NOISE_PROFILES)
def test_the_path_ends_around_the_anchor_with_beta_squared(bank, name):
    scheduler = AnchoredPathScheduler(STEPS, 0.3, name)
    noise = ResidualNoise(bank)
    step = torch.full((DRAWS,), STEPS)
    shape = (DRAWS, 1, SIZE, SIZE)
    clean, anchor = torch.randn(2, 1, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    mean, _ = scheduler.moments(clean.expand(shape), anchor.expand(shape), step)
    generator = torch.Generator().manual_seed(4)
    added = scheduler.sigma * noise.accumulate(scheduler.profile, step, shape, generator=generator)
    deviation = (mean + added - anchor).double().flatten(1)
    error = deviation.std(0) / math.sqrt(DRAWS)
    assert (deviation.mean(0).abs() < 5 * error).all()
    squares = deviation.square().mean(1)
    assert abs(squares.mean() - 0.3**2) < 5 * squares.std() / math.sqrt(DRAWS)


def test_seeds_repeat_and_leave_the_global_generator_alone(bank):
    profile, step = noise_profile("sine", STEPS), torch.tensor([2, 6])

    def drawn(seed):
        generator = torch.Generator().manual_seed(seed)
        return ResidualNoise(bank).accumulate(profile, step, (2, 1, 4, 9), generator=generator)

    before = torch.get_rng_state()
    assert torch.equal(drawn(0), drawn(0))
    assert not torch.equal(drawn(0), drawn(1))
    assert torch.equal(torch.get_rng_state(), before)
    noise = ResidualNoise(bank)
    first, second = (noise.draw((2, 1, 4, 9), generator=None) for _ in range(2))
    assert not torch.equal(first, second)
    torch.set_rng_state(before)
    assert torch.equal(noise.draw((2, 1, 4, 9)), first)


def test_a_sample_does_not_hang_on_the_steps_of_the_others(bank):
    profile, noise = noise_profile("parabola", STEPS), ResidualNoise(bank)

    def first_of(*steps):
        generator = torch.Generator().manual_seed(9)
        shape = (len(steps), 1, SIZE, SIZE)
        return noise.accumulate(profile, torch.tensor(steps), shape, generator=generator)[0]

    torch.testing.assert_close(first_of(3, 1), first_of(3, 6))
    assert first_of(0, 6).abs().max() == 0


def test_the_bank_is_not_touched_before_the_first_draw():
    class Missing:
        @property
        def residuals(self):
            raise InputError("no bank")

        rms = 1.0

    noise = ResidualNoise(Missing())
    with pytest.raises(InputError, match="no bank"):
        noise.draw((1, 1, 4, 4))


def test_residuals_that_are_all_the_same_are_no_noise():
    same = SimpleNamespace(residuals=torch.ones(4, 5, 5), rms=1.0)
    with pytest.raises(ValueError, match=r"4 residual\(s\), all the same"):
        ResidualNoise(same).draw((1, 1, 5, 5))


@pytest.mark.parametrize("shape", [(2, 1, 4), (2, 3, 4, 4), (2, 1, 4, 4, 4)])
def test_only_single_channel_slices(bank, shape):
    with pytest.raises(ValueError, match=r"shape must be \(B, 1, H, W\)"):
        ResidualNoise(bank).draw(shape)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_device_gets_the_same_noise(bank):
    profile, step = noise_profile("sine", STEPS), torch.tensor([2, 6])
    noise = ResidualNoise(bank)
    drawn = [
        noise.accumulate(
            profile.to(device), step.to(device), (2, 1, 4, 9), device, torch.Generator()
        )
        for device in ("cpu", "cuda", "cpu")
    ]
    torch.testing.assert_close(drawn[1].cpu(), drawn[0])
    assert torch.equal(drawn[2], drawn[0])
