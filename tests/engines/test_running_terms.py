"""The terms of a loss among the metrics of an epoch."""

import pytest
import torch
from ignite.engine import Engine, Events

from custom.engines.running_terms import RunningTerms
from custom.losses.signal_losses import VariationalLoss


def test_each_epoch_has_the_mean_of_its_own_steps():
    loss = VariationalLoss("mse", scale=1.0)
    loss(torch.full((1, 2), 99.0), torch.zeros(1, 3))  # of before the training
    found = []

    def step(engine, value):
        loss(torch.full((1, 2), value + engine.state.epoch), torch.zeros(1, 3))

    engine = Engine(step)
    RunningTerms(loss).attach(engine)
    engine.add_event_handler(
        Events.EPOCH_COMPLETED, lambda e: found.append(e.state.metrics["train_reconstruction"])
    )
    engine.run([0.0, 2.0], max_epochs=2)
    assert found == pytest.approx([(1 + 9) / 2, (4 + 16) / 2])


def test_a_loss_without_terms_tells_none():
    engine = Engine(lambda *_: None)
    RunningTerms(torch.nn.MSELoss()).attach(engine)
    engine.run([0], max_epochs=1)
    assert engine.state.metrics == {}
