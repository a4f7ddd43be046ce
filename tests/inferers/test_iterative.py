"""The sampler on paths whose posterior is Gaussian and known exactly."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn

from custom.inferers.clean_estimate import CleanEstimate
from custom.inferers.iterative import IterativeInferer
from custom.inferers.tiled_inferer import TiledUpscalingInferer
from custom.networks.schedulers.gaussian_path import GaussianPath
from custom.networks.schedulers.gaussian_schedules import SCHEDULES

MEAN, VARIANCE, ANCHOR = 0.7, 0.04, 1.1  # of the clean image, given the degraded one


def cosine(num_steps):
    return GaussianPath("cosine", num_steps, "clean")


def degraded(count=3):
    generator = torch.Generator().manual_seed(0)
    return 2 * torch.randn(count, 1, 6, 5, generator=generator, dtype=torch.float64)


def posterior_of(path):
    """A network that gives the exact expectation of a clean image N(MEAN, VARIANCE)."""

    def network(seen, position):
        step = (position * path.num_steps).round().long()
        c, a, s = (
            table[step].view(-1, 1, 1, 1)
            for table in (path.clean_gain, path.anchor_gain, path.noise_std)
        )
        variance = c**2 * VARIANCE + s**2
        gain = torch.where(variance > 0, c * VARIANCE / variance, 0)
        return MEAN + gain * (seen[:, :1] - c * MEAN - a * seen[:, 1:])

    return network


def by_hand(path, count, noise_scale):
    """Mean of the samples, and their gain on the noise of each draw, from scalar formulas."""
    steps = [*path.timesteps(count).tolist(), 0]
    c, a, s, m = (table.tolist() for table in path.buffers())
    mean, gains = c[steps[0]] * ANCHOR + a[steps[0]] * ANCHOR, [s[steps[0]]]
    for t, u in itertools.pairwise(steps):
        total = c[t] ** 2 * VARIANCE + s[t] ** 2
        k = c[t] * VARIANCE / total if total else 0.0
        tau = 0.0
        if noise_scale and u:
            r = m[t] / m[u]
            inside = (s[t] ** 2 - r**2 * s[u] ** 2) / s[t] ** 2 if s[t] else 1.0
            tau = s[u] * math.sqrt(inside)
        w = math.sqrt(max(s[u] ** 2 - tau**2, 0)) / s[t] if s[t] else 0.0
        clean = MEAN + k * (mean - c[t] * MEAN - a[t] * ANCHOR)
        mean = c[u] * clean + a[u] * ANCHOR + w * (mean - c[t] * clean - a[t] * ANCHOR)
        factor = c[u] * k + w * (1 - c[t] * k)
        gains = [factor * gain for gain in gains] + ([tau] if noise_scale and u else [])
    return mean, gains


def counted_noise(chosen):
    """Noise that is 1 in one of the draws of a pass, 0 in the others."""

    def noise(images, generators):
        draws = itertools.count()
        return lambda start, end: torch.full_like(images, float(next(draws) == chosen))

    return noise


@pytest.mark.parametrize("noise_scale", [0.0, 1.0])
@pytest.mark.parametrize("count", [1, 4, 25])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_path_follows_the_affine_recursion(schedule, count, noise_scale):
    """The whole sampler is affine with the exact score of a Gaussian: to 1e-10, no simulation."""
    path = GaussianPath(schedule, 25, "clean")
    mean, gains = by_hand(path, count, noise_scale)
    image = torch.full((1, 1, 1, 1), ANCHOR, dtype=torch.float64)

    def pass_with(chosen):
        inferer = IterativeInferer(
            path, count, noise_scale, noise=counted_noise(chosen), conditioned=True
        )
        return inferer(image, posterior_of(path)).item()

    assert pass_with(None) == pytest.approx(mean, abs=1e-10)
    for number, gain in enumerate(gains):
        assert pass_with(number) - mean == pytest.approx(gain, abs=1e-10)


@pytest.mark.parametrize("schedule", ["straight", "cosine"])
def test_the_bias_halves_when_the_steps_double(schedule):
    """DDIM and Euler are of first order; the limit differs from the truth by the start alone."""
    path = GaussianPath(
        schedule, 3200, "clean", **{"noise_std": 0.3} if schedule == "straight" else {}
    )
    exact, *found = (by_hand(path, count, 0.0)[1][0] for count in (3200, 50, 100, 200))
    errors = [abs(value - exact) for value in found]
    for before, after in itertools.pairwise(errors):
        assert after == pytest.approx(before / 2, rel=0.15)


@pytest.mark.parametrize("noise_scale", [0.0, 1.0])
def test_mean_and_deviation_of_many_passes_are_those_of_the_recursion(noise_scale):
    """With drawn noise, within five standard errors, in every pixel and over all of them."""
    path, passes = cosine(30), 400
    inferer = IterativeInferer(path, 6, noise_scale, passes, conditioned=True, slices_per_batch=2)
    image = torch.full((3, 1, 6, 5), ANCHOR, dtype=torch.float64)
    mean, deviation = inferer(image, posterior_of(path)).split(1, dim=1)
    expected, gains = by_hand(path, 6, noise_scale)
    variance = sum(gain**2 for gain in gains)
    standard_error = math.sqrt(variance / passes)
    assert ((mean - expected).abs() < 5 * standard_error).all()
    assert (mean - expected).mean().abs() < 5 * standard_error / math.sqrt(mean.numel())
    spread = math.sqrt(variance / (2 * (passes - 1)))
    assert ((deviation - math.sqrt(variance)).abs() < 5 * spread).all()
    mean_square = deviation.square().mean()
    assert abs(mean_square - variance) < 5 * variance * math.sqrt(2 / (passes - 1) / mean.numel())


@pytest.mark.parametrize("num_samples", [2, 8])
def test_the_mean_of_perfect_samples_has_1_plus_1_over_k_of_the_least_error(num_samples):
    """Many exact steps give samples of the posterior, whose mean is the best estimate."""
    path = GaussianPath("straight", 200, "clean", noise_std=0.5)
    generator = torch.Generator().manual_seed(5)
    scans = torch.full((4, 1, 30, 30), ANCHOR, dtype=torch.float64)
    truth = MEAN + math.sqrt(VARIANCE) * torch.randn(scans.shape, generator=generator)
    inferer = IterativeInferer(path, None, 1.0, num_samples, conditioned=True)
    mean = inferer(scans, posterior_of(path))[:, :1]
    squares = (mean - truth).square()
    _, gains = by_hand(path, 200, 1.0)
    spread = sum(gain**2 for gain in gains)
    assert spread == pytest.approx(VARIANCE, rel=0.05)
    expected = VARIANCE + spread / num_samples
    assert abs(squares.mean() - expected) < 5 * squares.std() / squares.numel() ** 0.5


@pytest.mark.parametrize("noise_scale", [0.0, 1.0])
def test_who_knows_the_clean_image_gives_it_back(noise_scale):
    clean = degraded() + 1
    inferer = IterativeInferer(cosine(10), 3, noise_scale, slices_per_batch=10)
    torch.testing.assert_close(inferer(degraded(), lambda x, _: clean), clean)


def test_noise_is_drawn_for_the_start_and_for_every_step_but_the_last():
    drawn = []

    def noise(images, generators):
        return lambda start, end: drawn.append((start, end))

    IterativeInferer(cosine(3), None, 1.0, noise=noise)(degraded(), lambda x, _: x)
    assert drawn == [(3, 0), (3, 2), (2, 1)]


def test_a_start_without_noise_is_deterministic_and_at_the_mean():
    process, seen = cosine(10), []

    def network(x, position):
        seen.append((x, position))
        return x

    inferer = IterativeInferer(process, 2, start_noise_scale=0)
    assert torch.equal(inferer(degraded(), network), inferer(degraded(), network))
    torch.testing.assert_close(seen[0][0], process.clean_gain[10] * degraded())
    assert [position[0].item() for _, position in seen[:2]] == [1.0, 0.5]


def test_the_anchor_reaches_network_and_process():
    image, told = degraded(), []

    class Process(GaussianPath):
        def estimate_clean(self, x_t, prediction, step, anchor=None):
            told.append(anchor)
            return prediction

    network = lambda seen, _: seen[:, 1:]  # noqa: E731
    process = Process("cosine", 5, "clean")
    restored = IterativeInferer(process, 1, conditioned=True)(image, network)
    torch.testing.assert_close(restored, image)
    torch.testing.assert_close(told[0], image)
    with pytest.raises(ValueError, match="anchor"):
        CleanEstimate(Process("cosine", 5, "clean"), conditioned=True)(
            image, network, torch.tensor([1, 1, 1])
        )


# ---------------------------------------------------------------- neighbours, deviation, tiles


@pytest.mark.parametrize("spatial_dim", [0, 1, 2])
def test_a_network_sees_each_slice_with_its_neighbours(spatial_dim):
    volumes = torch.rand(2, 1, 3, 4, 5)
    slices = volumes.movedim(spatial_dim + 2, 2)  # (B, 1, S, *plane)
    path, seen = GaussianPath("straight", 10, noise_std=0.0), []

    def network(x, position):
        seen.append(x)
        return torch.zeros_like(x[:, :1])  # the residual

    inferer = IterativeInferer(
        path, 1, conditioned=True, num_slices=3, spatial_dim=spatial_dim, slices_per_batch=2
    )
    torch.testing.assert_close(inferer(volumes, network), volumes)
    padded = torch.cat([slices[:, :, :1], slices, slices[:, :, -1:]], dim=2)
    expected = torch.stack([padded[:, 0, k : k + 3] for k in range(slices.shape[2])], dim=1)
    told = torch.cat(seen)
    torch.testing.assert_close(told[:, 1:], expected.flatten(0, 1))
    torch.testing.assert_close(told[:, :1], told[:, 2:3])  # one step without noise: y itself


def test_a_start_with_noise_is_the_degraded_image_and_the_noise_of_the_end():
    path, seen, image = GaussianPath("straight", 10, noise_std=0.25), [], torch.rand(3, 1, 40, 40)
    IterativeInferer(path, 1)(image, lambda x, _: seen.append(x) or torch.zeros_like(x))
    noise = (seen[0] - image).double()
    assert abs(noise.mean()) < 5 * 0.25 / noise.numel() ** 0.5
    assert abs(noise.std() / 0.25 - 1) < 5 / (2 * noise.numel()) ** 0.5


def with_deviation(x, position):
    """Estimate x_t; tell another logarithm of the deviation at every position."""
    return torch.cat([x[:, :1], position.view(-1, 1, 1, 1).log() + 0 * x[:, :1]], dim=1)


def test_the_deviation_is_that_of_the_first_step_or_of_the_samples():
    path = GaussianPath("straight", 4, "clean")
    image = torch.rand(1, 1, 5, 6, 3)
    restored = IterativeInferer(path, 4)(image, with_deviation)
    assert restored.shape == (1, 2, 5, 6, 3)
    torch.testing.assert_close(restored[:, 1], torch.ones(1, 5, 6, 3))
    several = IterativeInferer(path, 4, num_samples=4, seed=1)
    plain = several(image, lambda x, position: with_deviation(x, position)[:, :1])
    assert torch.equal(several(image, with_deviation), plain)
    assert (plain[:, 1] > 0).all()


@pytest.mark.parametrize("spatial_dim", [1, None])
def test_noise_does_not_depend_on_the_slices_restored_together(spatial_dim):
    path, volumes = GaussianPath("straight", 10), torch.rand(2, 1, 4, 5, 6)

    def restored(batch):
        options = {"spatial_dim": spatial_dim, "slices_per_batch": batch}
        return IterativeInferer(path, 3, 1.0, 2, conditioned=True, **options)(
            volumes, lambda x, position: 0.3 * x[:, :1]
        )

    assert torch.equal(restored(1), restored(5))


class LocalNetwork(nn.Module):
    """Two convolutions without normalisation: a pixel depends on two to each side."""

    def __init__(self, dimensions):
        super().__init__()
        convolution = nn.Conv3d if dimensions == 3 else nn.Conv2d
        self.first = convolution(2, 4, 3, padding=1)
        self.second = convolution(4, 2, 3, padding=1)
        generator = torch.Generator().manual_seed(0)
        for parameter in self.parameters():
            parameter.data = 0.2 * torch.randn(parameter.shape, generator=generator)

    def forward(self, x, position):
        return self.second(torch.tanh(self.first(x)))


@pytest.mark.parametrize(("spatial_dim", "num_samples"), [(2, 2), (None, 1)])
def test_tiles_of_the_denoiser_give_what_the_whole_gives_over_all_steps(spatial_dim, num_samples):
    """One state and one field of noise: no seams, whatever the size of the tiles."""
    path, volume = GaussianPath("straight", 10, noise_std=0.5), torch.rand(1, 1, 26, 25, 3)
    network = LocalNetwork(3 if spatial_dim is None else 2)

    def restored(denoiser):
        options = {"conditioned": True, "spatial_dim": spatial_dim, "denoiser": denoiser}
        return IterativeInferer(path, 5, 1.0, num_samples, **options)(volume, network)

    whole = restored(None)
    assert whole.shape[1] == 2
    for tile in (9, 14):
        tiled = restored(TiledUpscalingInferer(1, tile, halo=2, overlap=3))
        torch.testing.assert_close(tiled, whole, rtol=1e-5, atol=1e-5)
    short = restored(TiledUpscalingInferer(1, 9, halo=0, overlap=3))
    assert (short - whole).abs().max() > 1e-3  # the agreement is no accident


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_slices": 2, "conditioned": True}, "num_slices must be odd"),
        ({"num_slices": 3}, "conditioned"),
        ({"num_slices": 3, "conditioned": True, "spatial_dim": None}, "num_slices"),
        ({"spatial_dim": 3}, "spatial_dim"),
        ({"num_samples": 2, "start_noise_scale": 0}, "needs noise"),
    ],
)
def test_settings_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        IterativeInferer(GaussianPath("straight", 10), 2, **options)


def test_samples_of_a_bridge_need_noise_on_the_way():
    """It has none at its start, so that they would all be the same."""
    with pytest.raises(ValueError, match="num_samples 2 needs noise"):
        IterativeInferer(GaussianPath("brownian_bridge", 10), 5, 0.0, 2)
