"""Restoring along the path, against what is known in closed form."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from monai.data import MetaTensor
from torch import Tensor

from custom.inferers.anchored_path_inferer import AnchoredPathInferer, LinkNoise
from custom.networks.schedulers.anchored_path import AnchoredPathScheduler
from custom.networks.schedulers.residual_noise import ResidualNoise
from custom.physics.image_moments import image_moments, standardise

PARAMETERISATIONS = ("path", "scaled_path", "noise_schedule")
CLEAN_VARIANCE, RESIDUAL_VARIANCE = 0.7, 0.3  # of the Gaussian toy, in standardised units


class WhiteNoise:
    """Independent normal pixels, whose sums are known in closed form."""

    def draw_offset(self, shape, generator):
        return torch.zeros(shape[0], 2, dtype=torch.int64)

    def accumulate(self, profile, step, shape, device, generator, offset):
        links = profile[1 : int(step) + 1]
        return links.square().sum().sqrt() * torch.randn(shape, generator=generator)


def residual_noise() -> ResidualNoise:
    residuals = torch.randn(20, 6, 6, generator=torch.Generator().manual_seed(1))
    residuals -= residuals.mean()
    return ResidualNoise(SimpleNamespace(residuals=residuals / residuals.std(correction=0), rms=1))


def scans(count: int = 3, size: tuple[int, int] = (8, 7)) -> Tensor:
    """Slices of different brightness, ``(count, 1, X, Y)``."""
    generator = torch.Generator().manual_seed(0)
    gains = torch.tensor([1.0, 5.0, 300.0, 0.1, 2.0, 7.0])[:count, None, None, None]
    return gains * (torch.rand(count, 1, *size, generator=generator) + 0.5)


def predicting(scheduler: AnchoredPathScheduler, estimate: Callable) -> Callable:
    """Return a network whose prediction stands for ``estimate(x_t, step)`` of the clean image."""

    def network(x_t: Tensor, position: Tensor) -> Tensor:
        step = (position * scheduler.num_steps).round().long()
        gain = {
            "path": torch.ones_like(position),
            "scaled_path": position,
            "noise_schedule": 4 * position * (1 - position),
        }[scheduler.parameterisation][:, None, None, None]
        difference = x_t - estimate(x_t, step)
        # At t = T the published parameterisation cannot say anything.
        return torch.where(gain > 0, difference / gain, torch.zeros_like(difference))

    return network


def posterior_gain(scheduler: AnchoredPathScheduler, step: int) -> float:
    """Of the optimal estimate ``gain * x_t`` of a Gaussian image on the path, by hand."""
    if scheduler.parameterisation == "noise_schedule" and step == scheduler.num_steps:
        return 1.0
    weights = [
        (4 * s / scheduler.num_steps * (1 - s / scheduler.num_steps)) ** 2
        for s in range(scheduler.num_steps + 1)
    ]
    noise = scheduler.end_std**2 * sum(weights[1 : step + 1]) / sum(weights)
    position = step / scheduler.num_steps
    return CLEAN_VARIANCE / (CLEAN_VARIANCE + position**2 * RESIDUAL_VARIANCE + noise)


def optimal(scheduler: AnchoredPathScheduler) -> Callable:
    gains = torch.tensor([posterior_gain(scheduler, t) for t in range(scheduler.num_steps + 1)])
    return predicting(scheduler, lambda x_t, step: gains[step][:, None, None, None] * x_t)


def recursion(
    scheduler: AnchoredPathScheduler, steps: list[int], noise_scale: float = 0.0
) -> tuple[float, float]:
    """Return gain and variance of the sampler's output with the optimal estimate, by hand."""
    total, gain, variance = scheduler.num_steps, 1.0, 0.0
    f = [4 * t / total * (1 - t / total) for t in range(total + 1)]
    sigma = scheduler.end_std / sum(value**2 for value in f) ** 0.5
    for start, end in zip(steps, [*steps[1:], 0], strict=True):
        estimate = posterior_gain(scheduler, start)
        factor = estimate + end / start * (1 - estimate)
        gain, variance = gain * factor, variance * factor**2
        if end > 0:
            variance += (
                noise_scale**2 * sigma**2 * sum(f[u] ** 2 for u in range(end + 1, start + 1))
            )
    return gain, variance


# Not the one step of noise_schedule, t = T, where its prediction has no effect.
@pytest.mark.parametrize(
    ("parameterisation", "num_inference_steps"),
    [
        *itertools.product(PARAMETERISATIONS, (None, 7)),
        *(("path", 1), ("scaled_path", 1)),
    ],
)
@pytest.mark.parametrize("noise_scale", [0.0, 1.0])
def test_who_knows_the_clean_image_gives_it_back(
    parameterisation, num_inference_steps, noise_scale
):
    scheduler = AnchoredPathScheduler(20, 0.1, parameterisation=parameterisation)
    noisy, moments = scans(), torch.stack([image_moments(scan) for scan in scans()])
    clean = noisy * torch.linspace(0.5, 1.5, 8)[:, None]
    network = predicting(scheduler, lambda *_: standardise(clean, moments))
    inferer = AnchoredPathInferer(
        scheduler, num_inference_steps, noise_scale, noise=residual_noise()
    )
    torch.testing.assert_close(inferer(noisy, network), clean, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("parameterisation", PARAMETERISATIONS)
@pytest.mark.parametrize("num_inference_steps", [None, 6, 1])
def test_deterministic_sampler_of_the_gaussian_toy(parameterisation, num_inference_steps):
    scheduler = AnchoredPathScheduler(20, 0.3, parameterisation=parameterisation)
    steps = {None: list(range(20, 0, -1)), 6: [20, 17, 13, 10, 7, 3], 1: [20]}[num_inference_steps]
    gain, _ = recursion(scheduler, steps)
    noisy = scans()
    centre = noisy.mean((1, 2, 3), keepdim=True)
    inferer = AnchoredPathInferer(scheduler, num_inference_steps, form="centred")
    restored = inferer(noisy, optimal(scheduler))
    torch.testing.assert_close(restored, centre + gain * (noisy - centre), rtol=1e-4, atol=1e-4)
    if num_inference_steps == 1 and parameterisation == "path":
        assert gain == pytest.approx(CLEAN_VARIANCE / (1 + 0.3**2))  # the Wiener filter


@pytest.mark.parametrize("parameterisation", PARAMETERISATIONS)
@pytest.mark.parametrize(("num_inference_steps", "noise_scale"), [(None, 1.0), (4, 0.5)])
def test_mean_and_deviation_of_the_gaussian_toy(parameterisation, num_inference_steps, noise_scale):
    """In the units of each slice, within five standard errors."""
    scheduler, passes = AnchoredPathScheduler(8, 0.3, parameterisation=parameterisation), 400
    steps = [8, 7, 6, 5, 4, 3, 2, 1] if num_inference_steps is None else [8, 6, 4, 2]
    gain, variance = recursion(scheduler, steps, noise_scale)
    noisy = scans()
    centre = noisy.mean((1, 2, 3), keepdim=True)
    std = noisy.std((1, 2, 3), correction=0, keepdim=True) * variance**0.5
    inferer = AnchoredPathInferer(
        scheduler, num_inference_steps, noise_scale, passes, WhiteNoise(), form="centred"
    )
    mean, deviation = inferer(noisy, optimal(scheduler)).split(1, dim=1)
    error = deviation / passes**0.5
    assert ((mean - (centre + gain * (noisy - centre))).abs() < 5 * error).all()
    assert ((deviation - std).abs() < 5 * deviation / (2 * (passes - 1)) ** 0.5).all()
    # All pixels of a slice together say it more sharply.
    ratio = (deviation / std).flatten(1)
    assert ((ratio.mean(1) - 1).abs() < 5 * ratio.std(1) / ratio.shape[1] ** 0.5 + 1e-3).all()


@pytest.mark.parametrize("num_samples", [1, 3])
def test_a_slice_does_not_hang_on_the_others(num_samples):
    """Stack or batch, any number at once, after any other call: the same noise, the same slice."""
    scheduler = AnchoredPathScheduler(10, 0.3)
    noisy, network = scans(6), optimal(scheduler)

    def restored(inputs: Tensor, slices_per_batch: int = 4, seed: int = 0) -> Tensor:
        inferer = AnchoredPathInferer(
            scheduler, 5, 1.0, num_samples, residual_noise(), "centred", slices_per_batch, seed
        )
        inferer(scans(2), network)  # what was restored before
        return inferer(inputs, network)

    batch = restored(noisy)
    assert batch.shape == (6, 1 if num_samples == 1 else 2, 8, 7)
    for slices_per_batch in (1, 3, 100):
        torch.testing.assert_close(restored(noisy, slices_per_batch), batch)
    stack = restored(noisy.movedim(0, -1)[None])
    assert stack.shape == (1, batch.shape[1], 8, 7, 6)
    torch.testing.assert_close(stack[0].movedim(-1, 0), batch)
    torch.testing.assert_close(restored(noisy[:2]), batch[:2])
    assert not torch.allclose(restored(noisy, seed=1), batch)


def test_slices_have_noise_of_their_own_and_the_global_seed_is_left_alone():
    scheduler = AnchoredPathScheduler(10, 0.3)
    same = scans(1).expand(2, -1, -1, -1)
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    restored = AnchoredPathInferer(scheduler, None, 1.0, noise=residual_noise())(
        same, optimal(scheduler)
    )
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not torch.allclose(restored[0], restored[1])


def test_the_deviation_is_that_of_a_sample():
    """Of two passes, a and b, it is |a - b| / sqrt(2); one pass is the first of the two."""
    scheduler, noise = AnchoredPathScheduler(10, 0.3), residual_noise()
    network = optimal(scheduler)
    first = AnchoredPathInferer(scheduler, 5, 1.0, 1, noise)(scans(), network)
    both = AnchoredPathInferer(scheduler, 5, 1.0, 2, noise)(scans(), network)
    mean, deviation = both.split(1, dim=1)
    torch.testing.assert_close(deviation, 2**0.5 * (first - mean).abs(), rtol=1e-3, atol=1e-3)


def test_a_deviation_that_the_network_knows_is_in_the_units_of_the_scan():
    scheduler = AnchoredPathScheduler(10, 0.3)
    network = lambda x, _: torch.cat([0 * x, 0 * x + 0.5], dim=1)  # noqa: E731
    restored = AnchoredPathInferer(scheduler, 1)(scans(), network)
    torch.testing.assert_close(restored[:, :1], scans())
    scales = torch.stack([image_moments(scan, "tissue")[1] for scan in scans()])
    expected = torch.tensor(0.5).exp() * scales[:, None, None]
    torch.testing.assert_close(restored[:, 1], expected.expand_as(restored[:, 1]))


def test_stacks_of_a_batch_do_not_mix():
    scheduler = AnchoredPathScheduler(10, 0.3)
    stacks = torch.rand(2, 1, 5, 6, 3) + torch.tensor([1.0, 100.0])[:, None, None, None, None]
    inferer = AnchoredPathInferer(scheduler, slices_per_batch=2)
    both = inferer(stacks, optimal(scheduler))
    for index in range(2):
        one = inferer(stacks[index : index + 1], optimal(scheduler))
        torch.testing.assert_close(both[index : index + 1], one)


def test_the_printed_form_divides_by_the_root_mean_square():
    scheduler = AnchoredPathScheduler(10)
    seen = []

    def network(x: Tensor, _: Tensor) -> Tensor:
        seen.append(x)
        return torch.zeros_like(x)

    noisy = scans(2)
    restored = AnchoredPathInferer(scheduler, 1, form="printed")(noisy, network)
    axes = {"dim": (1, 2, 3), "keepdim": True}
    expected = (noisy - noisy.mean(**axes)) / noisy.square().mean(**axes).sqrt()
    torch.testing.assert_close(seen[0], expected)
    torch.testing.assert_close(restored, noisy)


def test_empty_slices_stay_empty_and_gaps_are_seen():
    noisy = scans(3)
    noisy[0] = 0
    noisy[1, 0, 2, 2] = torch.nan
    scheduler = AnchoredPathScheduler(10)
    restored = AnchoredPathInferer(scheduler, form="centred")(noisy, optimal(scheduler))
    assert not restored[0].any()
    assert torch.isnan(restored[1]).all()
    assert torch.isfinite(restored[2]).all()


def test_geometry_stays_and_the_network_is_left_as_it_was():
    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gain = torch.nn.Parameter(torch.tensor(0.5))

        def forward(self, x: Tensor, position: Tensor) -> Tensor:
            assert type(x) is Tensor
            assert not self.training
            return self.gain * x

    network = Network().train()
    affine = torch.diag(torch.tensor([0.5, 0.25, 2.0, 1.0], dtype=torch.float64))
    stack = MetaTensor(torch.rand(1, 1, 6, 5, 2), affine=affine, meta={"name": "a"})
    scheduler = AnchoredPathScheduler(10, 0.3)
    restored = AnchoredPathInferer(scheduler, 2, 1.0, 2, residual_noise())(stack, network)
    assert isinstance(restored, MetaTensor)
    assert restored.shape == (1, 2, 6, 5, 2)
    assert restored.dtype == stack.dtype
    torch.testing.assert_close(restored.affine, affine)
    assert restored.meta["name"] == "a"
    assert not restored.requires_grad
    assert network.training


def test_more_arguments_reach_the_network():
    seen = []

    def network(x: Tensor, position: Tensor, *args: str, **kwargs: str) -> Tensor:
        seen.append((position[0].item(), args, kwargs))
        return torch.zeros_like(x)

    AnchoredPathInferer(AnchoredPathScheduler(4), 2)(scans(1), network, "one", two="three")
    assert seen == [(1.0, ("one",), {"two": "three"}), (0.5, ("one",), {"two": "three"})]


def test_the_noise_of_a_stride_is_that_of_its_links():
    """Not one residual scaled up: the kurtosis of a sum of n fields falls with n."""
    values = torch.tensor([-1.0, 1.0]).repeat(8)[:, None, None].expand(-1, 2, 2)
    noise = ResidualNoise(SimpleNamespace(residuals=values, rms=1.0))
    scheduler = AnchoredPathScheduler(num_steps=4, end_std=0.5)
    links = scheduler.profile[2:4]  # of the stride from t = 3 to t = 1
    count = 1000
    generators = [torch.Generator().manual_seed(seed) for seed in range(count)]
    draw = LinkNoise(noise, scheduler.profile)(torch.zeros(count, 1, 1, 1), generators)
    drawn = draw(3, 1).flatten()
    # Of independent signs: kurtosis 3 - 2 sum f^4 / (sum f^2)^2, where one field alone has 1.
    fourth = drawn.pow(4)
    expected = float(3 - 2 * links.pow(4).sum() / links.pow(2).sum() ** 2)
    assert abs(fourth.mean() - expected) < 5 * fourth.std() / count**0.5
    squares = drawn.square()
    assert abs(squares.mean() - 1) < 5 * squares.std() / count**0.5
