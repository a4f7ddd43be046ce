"""The sampler with a second process, whose posterior is Gaussian and known exactly."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from custom.inferers.clean_estimate import CleanEstimate
from custom.inferers.iterative import IterativeInferer

PRIOR, NOISE = 1.5, 0.4  # variances of the clean image and of the degraded one about it


class VariancePreserving:
    """x_t = c_t x_0 + s_t e with c^2 + s^2 = 1; the network predicts the clean image."""

    def __init__(self, num_steps: int, end: float = 1.57) -> None:
        self.num_steps = num_steps
        angle = torch.arange(num_steps + 1, dtype=torch.float64) / num_steps * end  # below pi / 2
        self.gain, self.std = angle.cos(), angle.sin()

    def timesteps(self, num_inference_steps=None):
        count = num_inference_steps or self.num_steps
        return torch.linspace(self.num_steps, 0, count + 1).round().long()[:-1]

    def moments(self, clean, anchor, step):
        return self._at(self.gain, step) * clean, self._at(self.std, step)

    def estimate_clean(self, x_t, prediction, step, anchor=None):
        return prediction

    def step_back(self, x_t, clean, step, to_step, noise=None, anchor=None):
        added = ancestral_variance(self, step, to_step) if noise is not None else 0 * step
        added, noise = added.view(-1, 1, 1, 1), 0 if noise is None else noise
        mean, std = self.moments(clean, anchor, to_step)
        old_mean, old_std = self.moments(clean, anchor, step)
        direction = (x_t - old_mean) / old_std
        return mean + (std**2 - added).sqrt() * direction + added.sqrt() * noise

    @staticmethod
    def _at(table: Tensor, step: Tensor) -> Tensor:
        return table[step].view(-1, 1, 1, 1)


def ancestral_variance(process, step, to_step):
    """Of x_u given x_t and x_0."""
    old, new = process.std[step] ** 2, process.std[to_step] ** 2
    return new * (1 - (process.gain[step] / process.gain[to_step]) ** 2 * new / old)


def posterior_weights(process, step):
    """Weights of x_t and y in E[x_0 | x_t, y], for y = x_0 + noise."""
    precisions = process.gain[step] ** 2 / process.std[step] ** 2, 1 / NOISE, 1 / PRIOR
    total = sum(precisions)
    return precisions[0] / process.gain[step] / total, precisions[1] / total


def optimal(process):
    """A network that sees x_t and y and predicts the exact expectation of the clean image."""

    def network(seen, position):
        step = (position * process.num_steps).round().long()
        of_x, of_y = (weight.view(-1, 1, 1, 1) for weight in posterior_weights(process, step))
        return of_x * seen[:, :1] + of_y * seen[:, 1:]

    return network


def recursion(process, steps, noise_scale):
    """Return gain of y and variance of the sampler's output, by hand: every step is affine."""
    first = steps[0]
    gain, variance = float(process.gain[first]), float(process.std[first] ** 2)
    for start, end in zip(steps, [*steps[1:], 0], strict=True):
        t, u = torch.tensor(start), torch.tensor(end)
        added = float(ancestral_variance(process, t, u)) if noise_scale and end else 0.0
        of_x, of_y = map(float, posterior_weights(process, t))
        slope = math.sqrt(float(process.std[u]) ** 2 - added) / float(process.std[t])
        of_clean = float(process.gain[u]) - slope * float(process.gain[t])
        factor = of_clean * of_x + slope
        gain = factor * gain + of_clean * of_y
        variance = factor**2 * variance + added * noise_scale**2
    return gain, variance


def degraded(count=3):
    generator = torch.Generator().manual_seed(0)
    return 2 * torch.randn(count, 1, 6, 5, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("noise_scale", [0.0, 1.0])
@pytest.mark.parametrize("num_inference_steps", [1, 4, 30])
def test_mean_and_deviation_are_those_of_the_affine_recursion(num_inference_steps, noise_scale):
    """Within five standard errors, in every pixel and over all of them."""
    process, passes = VariancePreserving(30, end=1.1), 400
    inferer = IterativeInferer(
        process, num_inference_steps, noise_scale, passes, conditioned=True, slices_per_batch=2
    )
    image = degraded()
    mean, deviation = inferer(image, optimal(process)).split(1, dim=1)
    gain, variance = recursion(process, [start for start, _ in inferer.steps], noise_scale)
    standard_error = math.sqrt(variance / passes)
    error = mean - gain * image
    assert (error.abs() < 5 * standard_error).all()
    assert error.mean().abs() < 5 * standard_error / math.sqrt(error.numel())
    spread = math.sqrt(variance / (2 * (passes - 1)))
    assert ((deviation - math.sqrt(variance)).abs() < 5 * spread).all()
    mean_square = deviation.square().mean()
    assert abs(mean_square - variance) < 5 * variance * math.sqrt(2 / (passes - 1) / error.numel())


@pytest.mark.parametrize("noise_scale", [0.0, 1.0])
def test_samples_become_the_posterior_as_steps_become_many(noise_scale):
    gain, variance = PRIOR / (PRIOR + NOISE), PRIOR * NOISE / (PRIOR + NOISE)
    biases = []
    for num_steps in (100, 200, 400):
        found = recursion(VariancePreserving(num_steps), list(range(num_steps, 0, -1)), noise_scale)
        biases.append((abs(found[0] / gain - 1), abs(found[1] / variance - 1)))
    assert max(biases[-1]) < 0.02
    for before, after in itertools.pairwise(biases):
        assert after[1] == pytest.approx(before[1] / 2, rel=0.1)  # a method of first order


@pytest.mark.parametrize("noise_scale", [0.0, 1.0])
def test_who_knows_the_clean_image_gives_it_back(noise_scale):
    process, clean = VariancePreserving(10), degraded() + 1
    inferer = IterativeInferer(process, 3, noise_scale, slices_per_batch=10)
    torch.testing.assert_close(inferer(degraded(), lambda x, _: clean), clean)


def test_noise_is_drawn_for_the_start_and_for_every_step_but_the_last():
    drawn = []

    def noise(images, generators):
        return lambda start, end: drawn.append((start, end))

    IterativeInferer(VariancePreserving(3), None, 1.0, noise=noise)(degraded(), lambda x, _: x)
    assert drawn == [(3, 0), (3, 2), (2, 1)]


def test_a_start_without_noise_is_deterministic_and_at_the_mean():
    process, seen = VariancePreserving(10), []

    def network(x, position):
        seen.append((x, position))
        return x

    inferer = IterativeInferer(process, 2, start_noise_scale=0)
    assert torch.equal(inferer(degraded(), network), inferer(degraded(), network))
    torch.testing.assert_close(seen[0][0], process.gain[10] * degraded())
    assert [position[0].item() for _, position in seen[:2]] == [1.0, 0.5]


def test_the_anchor_reaches_network_and_process():
    image, told = degraded(), []

    class Process(VariancePreserving):
        def estimate_clean(self, x_t, prediction, step, anchor=None):
            told.append(anchor)
            return prediction

    network = lambda seen, _: seen[:, 1:]  # noqa: E731
    restored = IterativeInferer(Process(5), 1, conditioned=True)(image, network)
    torch.testing.assert_close(restored, image)
    torch.testing.assert_close(told[0], image)
    with pytest.raises(ValueError, match="anchor"):
        CleanEstimate(Process(5), conditioned=True)(image, network, torch.tensor([1, 1, 1]))
