import pytest
import torch
from ignite.engine import Engine
from torch import nn

from custom.handlers.weight_average import WeightAverage


def follow(values, decay):
    """Return the average after each of these weights."""
    network = nn.Linear(1, 1, bias=False)
    average = WeightAverage(network, decay)
    found = []
    for value in values:
        nn.init.constant_(network.weight, value)
        average(None)
        found.append(float(average.network.weight))
    return found


def test_average_equals_a_calculation_by_hand():
    # Decays 2/11, 3/12, then at most 0.25.
    found = follow([8.0, 19.0, 1.0, 5.0], decay=0.25)
    second = 2 / 11 * 8 + 9 / 11 * 19
    third = 0.25 * second + 0.75 * 1
    assert found == pytest.approx([8.0, second, third, 0.25 * third + 0.75 * 5], rel=1e-6)


def test_early_weights_do_not_stay():
    """After 100 steps the first weight has a share below 1e-8; without warm-up it would be 0.9."""
    assert follow([1.0e6] + [0.0] * 100, decay=0.999)[-1] < 1e-2


def test_constant_weights_are_their_own_average_and_buffers_are_copied():
    network = nn.Sequential(nn.Conv1d(1, 2, 1), nn.BatchNorm1d(2))
    average = WeightAverage(network)
    for _ in range(3):
        network(torch.randn(4, 1, 5, generator=torch.Generator().manual_seed(0)))
        average(None)
    for name, value in average.network.state_dict().items():
        torch.testing.assert_close(value, network.state_dict()[name])
    assert not average.network.training
    assert not any(p.requires_grad for p in average.network.parameters())
    assert all(p.requires_grad for p in network.parameters())


def test_a_resumed_average_goes_on_as_if_it_had_not_stopped():
    network = nn.Linear(2, 2)
    whole = WeightAverage(network, 0.9)
    for number in range(6):
        nn.init.constant_(network.weight, float(number))
        whole(None)
        if number == 2:
            kept = {k: v.clone() for k, v in whole.state_dict().items()}
    resumed = WeightAverage(network, 0.9)
    resumed.load_state_dict(kept)
    for number in range(3, 6):
        nn.init.constant_(network.weight, float(number))
        resumed(None)
    assert torch.equal(resumed.network.weight, whole.network.weight)


def test_several_networks_are_averaged_in_one_training():
    """Each with its decay; Ignite's handler would share the buffers, and one decay in a warm-up."""
    networks = [nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1)) for _ in range(2)]
    averages = [
        WeightAverage(network, decay) for network, decay in zip(networks, (0.0, 0.15), strict=True)
    ]

    def step(engine, _):
        for network in networks:
            nn.init.constant_(network[0].weight, float(engine.state.iteration))
            network(torch.randn(3, 1))

    trainer = Engine(step)
    for average in averages:
        average.attach(trainer)
    trainer.run([0, 0], max_epochs=1)
    found = [average.network[0].weight.item() for average in averages]
    assert found == pytest.approx([2.0, 0.15 * 1 + 0.85 * 2])
    before = averages[0].network[1].running_mean.clone()
    networks[0](torch.randn(3, 1))
    assert torch.equal(averages[0].network[1].running_mean, before)


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_wrong_arguments_are_refused(decay):
    with pytest.raises(ValueError, match="decay"):
        WeightAverage(nn.Linear(1, 1), decay)
