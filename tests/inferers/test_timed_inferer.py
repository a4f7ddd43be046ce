import math

import torch
from monai.inferers import SimpleInferer, SliceInferer

from custom.inferers import timed_inferer
from custom.inferers.timed_inferer import TimedInferer


def test_only_the_first_stack_is_restored_twice_and_that_is_not_timed(monkeypatch):
    now, seen = [0.0], []

    def slow_at_first(image):
        now[0] += 100.0 if not seen else 2.0
        seen.append(image.shape)
        return image

    monkeypatch.setattr(timed_inferer, "perf_counter", lambda: now[0])
    inferer = TimedInferer(SimpleInferer())
    assert math.isnan(inferer.seconds)
    for _ in range(2):
        inferer(torch.rand(1, 1, 4, 4, 2), slow_at_first)
        assert inferer.seconds == 2
    assert len(seen) == 3


def test_what_is_restored_is_what_it_is_without_a_clock():
    def noisy(image):
        return image + torch.randn(image.shape)

    stacks = torch.rand(2, 1, 1, 6, 5, 4)
    results = []
    for inferer in (SliceInferer(2, (-1, -1)), SimpleInferer()):
        for candidate in (inferer, TimedInferer(inferer)):
            torch.manual_seed(0)
            results.append(torch.stack([candidate(stack, noisy) for stack in stacks]))
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[2], results[3])


def test_further_arguments_reach_the_network():
    def add(image, number, *, sign):
        return image + sign * number

    restored = TimedInferer(SimpleInferer())(torch.zeros(1, 1, 2, 2), add, 3, sign=-1)
    assert torch.all(restored == -3)
