import operator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from ignite.engine import Events
from ignite.metrics import Average, Metric
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import ValidationHandler, from_engine


class Scripted(Metric):
    """A metric that takes its values from a list, one an epoch."""

    def __init__(self, values):
        self.values = iter(values)
        super().__init__()

    def reset(self):
        pass

    def update(self, output):
        pass

    def compute(self):
        return next(self.values)


@dataclass
class ToyTraining:
    """A linear fit whose validation metric follows a script."""

    trainer: SupervisedTrainer
    evaluator: SupervisedEvaluator
    network: torch.nn.Module
    optimizer: torch.optim.Optimizer

    def attach(self, *handlers: Any) -> None:
        for handler in handlers:
            handler.attach(self.trainer)

    def run(self) -> int:
        self.trainer.run()
        return self.trainer.state.epoch


@pytest.fixture
def toy():
    """Make a toy training: ``toy(values, max_epochs, data, interval, start)``.

    Interval 0: the trainer does not validate by itself.
    """

    def make(values=(), max_epochs=None, data=None, interval=1, start=0) -> ToyTraining:
        torch.manual_seed(0)
        network = torch.nn.Conv2d(1, 1, 1)
        optimizer = torch.optim.Adam(network.parameters(), lr=0.1)
        image = torch.linspace(0, 1, 64).view(1, 1, 8, 8)
        data = [{"image": image, "label": 2 * image}] * 3 if data is None else data
        evaluator = SupervisedEvaluator(
            device="cpu",
            val_data_loader=data,
            network=network,
            key_val_metric={"val_mse": Scripted(values)},
            metric_cmp_fn=operator.lt,
        )
        trainer = SupervisedTrainer(
            device="cpu",
            max_epochs=max_epochs or max(len(values), 1),
            train_data_loader=data,
            network=network,
            optimizer=optimizer,
            loss_function=torch.nn.MSELoss(),
            key_train_metric={"train_loss": Average(from_engine(["loss"], first=True))},
            train_handlers=[ValidationHandler(interval, evaluator)] if values and interval else [],
        )
        # What a resume does before all other handlers.
        resume = lambda engine: setattr(engine.state, "epoch", start)  # noqa: E731
        trainer.add_event_handler(Events.STARTED, resume)
        return ToyTraining(trainer, evaluator, network, optimizer)

    return make
