import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, ExponentialLR, ReduceLROnPlateau

from custom.handlers.executed_config import with_settings_of
from custom.handlers.instance_noise import InstanceNoise


def made(rate, schedule, decay=0.0):
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([weight], lr=rate, weight_decay=decay)
    return weight, optimizer, schedule(optimizer)


def step(weight, optimizer, scheduler):
    optimizer.zero_grad()
    weight.square().sum().backward()
    optimizer.step()
    scheduler.step(*([1.0] if isinstance(scheduler, ReduceLROnPlateau) else []))
    return optimizer.param_groups[0]["lr"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (lambda o: ExponentialLR(o, 0.5), lambda o: ExponentialLR(o, 0.9)),
        (lambda o: CosineAnnealingLR(o, 4), lambda o: CosineAnnealingLR(o, 8)),
        (lambda o: ReduceLROnPlateau(o, patience=9), lambda o: ReduceLROnPlateau(o, patience=1)),
    ],
)
def test_rates_and_schedules_change_and_moments_and_counts_stay(before, after):
    _, optimizer, scheduler = one = made(0.1, before)
    for _ in range(2):
        step(*one)
    reached = optimizer.param_groups[0]["lr"] / 0.1
    saved = optimizer.state_dict(), scheduler.state_dict()

    _, resumed, schedule = two = made(0.4, after, decay=0.01)
    resumed.load_state_dict(with_settings_of(resumed.state_dict(), saved[0]))
    schedule.load_state_dict(with_settings_of(schedule.state_dict(), saved[1]))
    group = resumed.param_groups[0]
    assert group["lr"] == pytest.approx(0.4 * reached)
    assert group["weight_decay"] == 0.01
    assert torch.equal(resumed.state_dict()["state"][0]["exp_avg"], saved[0]["state"][0]["exp_avg"])
    assert schedule.last_epoch == 2
    if isinstance(schedule, ExponentialLR):
        assert step(*two) == pytest.approx(0.4 * 0.25 * 0.9)
    if isinstance(schedule, ReduceLROnPlateau):
        assert (schedule.patience, schedule.num_bad_epochs) == (1, 1)


def test_a_seeded_part_gets_its_settings_and_keeps_its_place():
    first, second = InstanceNoise(1.0, 0.0, 100, 0), InstanceNoise(0.5, 0.1, 200, 7)
    state = with_settings_of(second.state_dict(), {**first.state_dict(), "iteration": 40})
    second.load_state_dict(state)
    assert second.state_dict() == {
        "start": 0.5,
        "end": 0.1,
        "iterations": 200,
        "seed": 7,
        "iteration": 40,
    }


def test_with_equal_settings_nothing_changes():
    _, optimizer, scheduler = one = made(0.1, lambda o: ExponentialLR(o, 0.5))
    fresh = made(0.1, lambda o: ExponentialLR(o, 0.5))
    step(*one)
    for new, old in zip(fresh[1:], (optimizer, scheduler), strict=True):
        assert with_settings_of(new.state_dict(), old.state_dict()) == old.state_dict()
