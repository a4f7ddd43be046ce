import math

import pytest
import torch
from ignite.engine import Engine, Events

from custom.handlers.instance_noise import InstanceNoise


def run(noise, epochs=1, epoch_length=6, draw=None, resume=0):
    """Run an engine that draws in each iteration; return what was drawn."""
    drawn = []

    def step(engine, _):
        drawn.append(draw(noise) if draw else noise.std)

    engine = Engine(step)
    noise.attach(engine)
    noise.attach(engine)
    if resume:
        engine.load_state_dict(
            {"iteration": resume, "epoch_length": epoch_length, "max_epochs": epochs}
        )
    engine.run(range(epoch_length), max_epochs=epochs)
    return drawn, engine


def test_deviation_falls_linearly_per_iteration_and_stays_at_its_end():
    drawn, engine = run(InstanceNoise(1.0, 0.2, iterations=4))
    assert drawn == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2, 0.2])
    assert engine.state.metrics["instance_noise_std"] == pytest.approx(0.2)


def test_noise_has_the_deviation_and_two_draws_are_independent():
    noise = InstanceNoise(0.5, 0.5, seed=1)
    volume = torch.full((2, 1, 40, 40, 40), 3.0, dtype=torch.float64)
    first, second = noise(volume) - volume, noise(volume) - volume
    number = volume.numel()
    for drawn in (first, second):
        assert abs(float(drawn.mean())) < 5 * 0.5 / math.sqrt(number)
        assert abs(float(drawn.std()) - 0.5) < 5 * 0.5 / math.sqrt(2 * number)
    correlation = float((first * second).mean()) / 0.25
    assert abs(correlation) < 5 / math.sqrt(number)


def test_gradient_passes_and_without_noise_the_volume_itself_is_returned():
    volume = torch.zeros(1, 1, 2, 2, 2, requires_grad=True)
    InstanceNoise()(volume).sum().backward()
    assert torch.equal(volume.grad, torch.ones_like(volume))
    assert InstanceNoise(0.0, 0.0)(volume) is volume


def pair_of_draws(noise):
    return torch.stack([noise(torch.zeros(5)), noise(torch.zeros(5))])


def test_a_resumed_training_draws_what_the_uninterrupted_one_would_have():
    whole, _ = run(InstanceNoise(1.0, 0.1, 20, seed=7), epochs=2, draw=pair_of_draws)
    first = InstanceNoise(1.0, 0.1, 20, seed=7)
    parts, _ = run(first, epochs=1, draw=pair_of_draws)
    other = InstanceNoise(0.4, 0.3, 5, seed=1)
    other.load_state_dict(first.state_dict())
    assert other.std == first.std
    torch.manual_seed(99)
    rest, _ = run(other, epochs=2, draw=pair_of_draws, resume=6)
    assert torch.equal(torch.stack(parts + rest), torch.stack(whole))


def test_no_iteration_draws_what_another_drew():
    drawn, _ = run(InstanceNoise(1.0, 1.0, seed=7), epochs=2, draw=pair_of_draws)
    assert torch.stack(drawn).unique().numel() == 12 * 2 * 5


def test_drawing_leaves_the_random_numbers_of_the_run_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    run(InstanceNoise(), draw=pair_of_draws)
    assert torch.equal(torch.rand(3), expected)


def test_each_rank_draws_noise_of_its_own():
    def of_rank(rank):
        noise = InstanceNoise(seed=3)
        engine = Engine(lambda *_: None)
        noise.attach(engine)
        engine.add_event_handler(Events.STARTED, lambda e: setattr(e.state, "rank", rank))
        engine.run([0])
        return noise(torch.zeros(4))

    assert torch.equal(of_rank(1), of_rank(1))
    assert not torch.equal(of_rank(0), of_rank(1))


@pytest.mark.parametrize(
    "settings", [{"start": -1.0}, {"end": -0.1}, {"iterations": 0}, {"seed": -1}]
)
def test_wrong_arguments_are_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        InstanceNoise(**settings)
