import random

import numpy as np
import pytest
import torch
from ignite.engine import Events
from monai.data import Dataset
from monai.transforms import RandGaussianNoise

from custom.handlers.epoch_seed import EpochSeed


def draws(toy, seed, skip=0, epochs=3):
    """Draw from every source of randomness in each epoch."""
    dataset = Dataset([torch.zeros(1, 4, 4)], RandGaussianNoise(prob=1))
    training = toy([1.0] * epochs, start=skip)
    handler = EpochSeed(seed, dataset)
    seen = []

    def draw():
        noise = dataset[0].flatten().tolist()
        seen.append([random.random(), np.random.rand(), torch.rand(()).item(), *noise])  # noqa: NPY002

    training.attach(handler)
    training.trainer.add_event_handler(Events.EPOCH_STARTED, draw)
    random.seed(len(seen) + skip)
    torch.manual_seed(skip)
    training.run()
    return seen


def test_an_epoch_draws_the_same_whether_resumed_or_not(toy):
    whole = draws(toy, seed=3)
    resumed = draws(toy, seed=3, skip=1)
    assert resumed == whole[1:]


def test_epochs_and_seeds_differ(toy):
    first, other = draws(toy, seed=3), draws(toy, seed=4)
    values = [value for run in (first, other) for epoch in run for value in epoch]
    assert len(set(values)) == len(values)


def test_ranks_draw_different_numbers(toy):
    values = []
    for rank in (0, 1):
        training = toy([1.0])
        training.trainer.state.rank = rank
        training.trainer.state.epoch = 1
        EpochSeed(0)(training.trainer)
        values.append(torch.rand(()).item())
    assert values[0] != values[1]


def test_the_seed_of_the_resumed_training_holds():
    handler = EpochSeed(1)
    handler.load_state_dict(EpochSeed(7).state_dict())
    assert handler.seed == 7


def test_negative_seed_is_refused():
    with pytest.raises(ValueError, match="seed"):
        EpochSeed(-1)


class Told(torch.nn.MSELoss):
    """A loss that notes which epochs it is told."""

    def __init__(self):
        super().__init__()
        self.epochs = []

    def set_epoch(self, epoch):
        self.epochs.append(epoch)


@pytest.mark.parametrize("skip", [0, 2])
def test_loss_and_data_set_are_told_the_epoch_in_a_resumed_training_too(toy, skip):
    loss, dataset = Told(), Told()
    training = toy([1.0] * 4, start=skip)
    training.trainer.loss_function = loss
    training.attach(EpochSeed(0, dataset))
    training.run()
    assert loss.epochs == dataset.epochs == [1, 2, 3, 4][skip:]
