"""The handlers of every training work together, in their order."""

import csv
import os
import signal

import pytest
import torch
from ignite.engine import Events
from torch.optim.lr_scheduler import ExponentialLR

from custom.errors import InputError
from custom.handlers.standard_training import StandardTraining
from custom.handlers.weight_average import WeightAverage

VALUES = [3.0, 1.0, 2.0, 0.5]


def train(toy, folder, values, *before, resume=False, items=None, **settings):
    """Train a toy with the standard handlers; those in ``before`` are listed before them."""
    training = toy(values, settings.pop("max_epochs", len(values)), interval=0)
    saved = {
        "model": training.network,
        "optimizer": training.optimizer,
        "lr_scheduler": ExponentialLR(training.optimizer, 0.5),
        **(items or {}),
    }
    standard = StandardTraining(
        training.evaluator, saved, folder, folder / "models", resume=resume, **settings
    )
    training.attach(*before, standard)
    training.run()
    return training


def table(folder):
    with (folder / "metrics.csv").open(newline="") as text:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(text)]


def load(folder, name="last"):
    return torch.load(folder / "models" / f"{name}.pt", weights_only=True)


def test_a_resumed_training_equals_the_uninterrupted_one(toy, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(toy, whole, VALUES, seed=3)
    train(toy, parts, VALUES[:2], seed=3)
    train(toy, parts, VALUES[2:], seed=9, resume=True, max_epochs=4)
    assert table(parts) == table(whole)
    once, twice = load(whole), load(parts)
    for name, weight in once["model"].items():
        assert torch.equal(twice["model"][name], weight)
    for name in ("early_stopping", "epoch_seed", "best_metric", "lr_scheduler", "trainer"):
        assert twice[name] == once[name], name
    assert once["best_metric"] == {"metric": 0.5, "epoch": 4}
    # The schedule has been stepped before the epoch is written down.
    rates = [float(row["learning_rate"]) for row in table(whole)]
    assert rates == pytest.approx([0.1 * 0.5**epoch for epoch in (1, 2, 3, 4)])


class Counting:
    """A handler that adds a metric; as ``watchdogs`` it distrusts what follows an epoch."""

    def __init__(self, doubtful_from=99):
        self.epoch, self.doubtful_from = 0, doubtful_from

    def attach(self, engine):
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine):
        self.epoch = engine.state.epoch
        engine.state.metrics["counted"] = float(self.epoch)

    def trusted(self):
        return self.epoch < self.doubtful_from

    def state_dict(self):
        return {}


def test_what_is_listed_before_is_in_the_table(toy, tmp_path):
    train(toy, tmp_path, VALUES, Counting())
    assert [row["counted"] for row in table(tmp_path)] == ["1", "2", "3", "4"]


def test_an_epoch_that_the_watchdogs_doubt_is_no_checkpoint(toy, tmp_path):
    train(toy, tmp_path, VALUES, items={"watchdogs": Counting(doubtful_from=3)})
    assert load(tmp_path)["best_metric"] == {"metric": 1.0, "epoch": 2}


def test_a_validation_that_is_no_number_leaves_the_last_checkpoint(toy, tmp_path):
    with pytest.raises(InputError, match=r"val_mse is nan at epoch 3.*last\.pt"):
        train(toy, tmp_path, [3.0, 2.0, float("nan")])
    assert load(tmp_path)["best_metric"]["epoch"] == 2
    assert len(table(tmp_path)) == 2


def test_the_weight_average_follows_each_step(toy, tmp_path):
    average = WeightAverage(torch.nn.Conv2d(1, 1, 1))
    train(toy, tmp_path, VALUES, items={"weight_average": average})
    assert int(average.state_dict()["n_averaged"]) == 4 * 3


def test_another_rank_validates_and_writes_nothing(toy, tmp_path):
    training = train(toy, tmp_path, VALUES, is_rank0=False)
    assert training.evaluator.state.epoch == 4
    assert not list(tmp_path.iterdir())


def test_a_schedule_is_needed(toy, tmp_path):
    with pytest.raises(ValueError, match="lr_scheduler"):
        StandardTraining(toy(VALUES).evaluator, {"model": None}, tmp_path, tmp_path)


def test_sigterm_stops_a_training_as_ctrl_c_does(toy, tmp_path):
    """Also one that MONAI itself started; the epochs before stay."""

    class Kill(Counting):
        def __call__(self, engine):
            if engine.state.epoch == 2:
                os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt) as caught:
        train(toy, tmp_path, VALUES, Kill())
    assert caught.value.args == (signal.SIGTERM,)
    assert load(tmp_path)["best_metric"] == {"metric": 3.0, "epoch": 1}
    train(toy, tmp_path, VALUES[1:], resume=True, max_epochs=4)
    signal.signal(signal.SIGTERM, before)
    assert len(table(tmp_path)) == 4


@pytest.mark.parametrize("early", [False, True])
def test_a_finished_training_says_so_and_leaves_no_further_file(toy, tmp_path, caplog, early):
    """At its last epoch, or stopped early; a search or a queue may ask again and again."""
    settings = {"patience": 1, "min_epochs": 2} if early else {}
    settings["max_epochs"] = 4 if early else 2
    train(toy, tmp_path, [1.0, 2.0], config={"resume": False}, **settings)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    store = {"tracking_uri": f"sqlite:///{tmp_path}/m.db", "experiment_name": "toy"}
    settings |= {"resume": True, "config": {"resume": True}, "use_mlflow": True, "tracking": store}
    for _ in range(2):
        assert train(toy, tmp_path, [3.0, 3.0], **settings).trainer.state.epoch == 2
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    said = [record.getMessage() for record in caplog.records if "nothing is left" in record.msg]
    end, option = ("4", "--patience") if early else ("2", "--max_epochs")
    assert len(said) == 2
    assert f"at epoch 2 of {end}" in said[0]
    assert f"give a larger {option}" in said[0]
