import pytest
from ignite.engine import Events
from torch.optim import lr_scheduler

from custom.handlers.validation_metric import LrSchedule


def rates(training, scheduler):
    """Run and return the learning rate after each epoch."""
    seen = []
    training.attach(LrSchedule(scheduler, training.evaluator))
    training.trainer.add_event_handler(
        Events.EPOCH_COMPLETED, lambda: seen.append(training.optimizer.param_groups[0]["lr"])
    )
    training.run()
    return seen


def test_exponential(toy):
    training = toy([1.0] * 3)
    seen = rates(training, lr_scheduler.ExponentialLR(training.optimizer, 0.5))
    assert seen == pytest.approx([0.05, 0.025, 0.0125])


def test_step(toy):
    training = toy([1.0] * 4)
    seen = rates(training, lr_scheduler.StepLR(training.optimizer, 2, 0.1))
    assert seen == pytest.approx([0.1, 0.01, 0.01, 0.001])


def test_plateau_follows_the_validation(toy):
    training = toy([3.0, 2.0, 2.5, 2.5, 1.0])
    scheduler = lr_scheduler.ReduceLROnPlateau(training.optimizer, factor=0.5, patience=1)
    # The second bad epoch in a row, the fourth, exceeds the patience of one.
    assert rates(training, scheduler) == pytest.approx([0.1, 0.1, 0.1, 0.05, 0.05])


def test_plateau_waits_where_there_is_no_validation(toy):
    training = toy([1.0, 2.0], max_epochs=4, interval=2)
    scheduler = lr_scheduler.ReduceLROnPlateau(training.optimizer, factor=0.5, patience=0)
    assert rates(training, scheduler) == pytest.approx([0.1, 0.1, 0.1, 0.05])
