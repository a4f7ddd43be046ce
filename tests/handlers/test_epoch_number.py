"""Parts that depend on the epoch are told it, in a resumed training too."""

from ignite.engine import Engine

from custom.handlers.epoch_number import EpochNumber


class Part:
    def __init__(self):
        self.epochs = []

    def set_epoch(self, epoch):
        self.epochs.append(epoch)


def test_every_epoch_is_told_before_its_first_step():
    part, told = Part(), []
    engine = Engine(lambda *_: told.append(list(part.epochs)))
    EpochNumber([part, object()]).attach(engine)
    engine.run([0, 1], max_epochs=2)
    assert part.epochs == [1, 2]
    assert told == [[1], [1], [1, 2], [1, 2]]


def test_a_resumed_training_goes_on_counting():
    part = Part()
    engine = Engine(lambda *_: None)
    EpochNumber([part]).attach(engine)
    engine.load_state_dict({"epoch": 3, "max_epochs": 5, "epoch_length": 2})
    engine.run([0, 1], max_epochs=5)
    assert part.epochs == [4, 5]
