import errno
import logging
from pathlib import Path

import pytest
import torch
from ignite.engine import Events
from torch.optim.lr_scheduler import ExponentialLR

from custom.errors import InputError
from custom.handlers.checkpoint import BestMetric, CheckpointResumer, CheckpointWriter


def items_of(training):
    return {
        "model": training.network,
        "optimizer": training.optimizer,
        "best_metric": BestMetric(training.evaluator),
    }


def run(training, folder, resume=False):
    items = items_of(training)
    if resume:
        training.attach(CheckpointResumer(folder / "last.pt", items))
    training.attach(CheckpointWriter(folder, items, training.evaluator))
    training.run()
    return training


def load(path):
    return torch.load(path, weights_only=True)


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def test_best_is_the_bare_model_of_the_best_epoch_and_last_is_everything(toy, tmp_path):
    kept = {}
    training = toy([3.0, 1.0, 2.0])

    @training.trainer.on(Events.EPOCH_COMPLETED)
    def keep(engine):
        kept[engine.state.epoch] = {k: v.clone() for k, v in training.network.state_dict().items()}

    run(training, tmp_path)
    assert same(load(tmp_path / "model.pt"), kept[2])
    last = load(tmp_path / "last.pt")
    assert same(last["model"], kept[3])
    assert last["best_metric"] == {"metric": 1.0, "epoch": 2}
    assert last["trainer"]["iteration"] == 9
    assert set(last) == {"model", "optimizer", "best_metric", "trainer", "config"}
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"{stem}.{end}" for stem in ("last", "model") for end in ("json", "pt")
    ]


def test_resumed_training_equals_the_uninterrupted_one(toy, tmp_path):
    run(toy([3.0, 2.0, 4.0, 1.0]), tmp_path / "whole")
    run(toy([3.0, 2.0]), tmp_path / "parts")
    resumed = run(toy([4.0, 1.0], max_epochs=4), tmp_path / "parts", resume=True)
    assert resumed.trainer.state.epoch == 4
    whole, parts = (load(tmp_path / name / "last.pt") for name in ("whole", "parts"))
    assert same(whole["model"], parts["model"])
    assert whole["optimizer"]["state"].keys() == parts["optimizer"]["state"].keys()
    assert whole["best_metric"] == parts["best_metric"] == {"metric": 1.0, "epoch": 4}


def test_after_a_resume_a_worse_epoch_does_not_replace_the_best(toy, tmp_path):
    run(toy([3.0, 1.0]), tmp_path)
    best = load(tmp_path / "model.pt")
    run(toy([2.0, 1.5], max_epochs=4), tmp_path, resume=True)
    assert same(load(tmp_path / "model.pt"), best)
    assert load(tmp_path / "last.pt")["best_metric"] == {"metric": 1.0, "epoch": 2}


def train_with_doubts(training, folder, doubtful, resume=False):
    """Train; the epochs in ``doubtful`` are not trusted. Return the weights after each epoch."""
    items, kept = items_of(training), {}
    state = training.trainer.state

    @training.trainer.on(Events.EPOCH_COMPLETED)
    def keep(engine):
        kept[engine.state.epoch] = {k: v.clone() for k, v in training.network.state_dict().items()}

    if resume:
        training.attach(CheckpointResumer(folder / "last.pt", items))
    trusted = lambda: state.epoch not in doubtful  # noqa: E731
    training.attach(CheckpointWriter(folder, items, training.evaluator, trusted))
    training.run()
    return kept


@pytest.mark.parametrize(
    ("values", "doubtful", "best"),
    [
        ([1.0, 2.0], {1}, 2),  # worse than the doubtful one, but all there is
        ([3.0, 1.0, 2.0], {2}, 3),
        ([3.0, 0.5, 1.0, 4.0, 2.0], {2, 3}, 5),
        ([2.0, 1.0, 3.0], {2}, 1),
    ],
)
def test_a_doubtful_epoch_is_not_the_best(toy, tmp_path, caplog, values, doubtful, best):
    with caplog.at_level(logging.INFO):
        kept = train_with_doubts(toy(values), tmp_path, doubtful)
    assert same(load(tmp_path / "model.pt"), kept[best])
    wanted = {"metric": values[best - 1], "epoch": best}
    assert load(tmp_path / "last.pt")["best_metric"] == wanted
    assert f"best val_mse {values[best - 1]:.5g} at epoch {best}" in caplog.text


def test_a_training_without_a_trusted_epoch_names_no_best(toy, tmp_path, caplog):
    training = toy([2.0, 1.0])
    with caplog.at_level(logging.INFO):
        train_with_doubts(training, tmp_path, {1, 2})
    assert training.evaluator.state.best_metric_epoch == -1
    assert not list(tmp_path.iterdir())
    assert "best val_mse" not in caplog.text


def test_after_a_resume_a_doubtful_epoch_gives_the_saved_best_back(toy, tmp_path):
    run(toy([3.0]), tmp_path)
    training = toy([1.0, 2.0], max_epochs=3)
    kept = train_with_doubts(training, tmp_path, {2}, resume=True)
    assert same(load(tmp_path / "model.pt"), kept[3])
    run(toy([3.0]), tmp_path / "other")
    best = load(tmp_path / "other" / "model.pt")
    training = toy([1.0, 4.0], max_epochs=3)
    train_with_doubts(training, tmp_path / "other", {2}, resume=True)
    assert same(load(tmp_path / "other" / "model.pt"), best)
    assert load(tmp_path / "other" / "last.pt")["best_metric"] == {"metric": 3.0, "epoch": 1}


def test_a_new_training_keeps_the_files_of_the_earlier_one(toy, tmp_path):
    run(toy([1.0]), tmp_path)
    earlier = {name: (tmp_path / name).read_bytes() for name in ("model.pt", "last.pt")}
    run(toy([2.0, 1.0]), tmp_path)
    for name, content in earlier.items():
        assert (tmp_path / name.replace(".pt", ".1.pt")).read_bytes() == content
    assert load(tmp_path / "last.pt")["trainer"]["iteration"] == 6


def test_a_training_that_fails_at_once_leaves_the_earlier_one_alone(toy, tmp_path):
    run(toy([1.0]), tmp_path)
    before = (tmp_path / "last.pt").read_bytes()
    training = toy([1.0])
    training.trainer.add_event_handler(Events.ITERATION_STARTED, lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(training, tmp_path)
    assert (tmp_path / "last.pt").read_bytes() == before


def test_full_disk_leaves_the_old_file_and_says_so(toy, tmp_path, monkeypatch):
    run(toy([1.0]), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.pt")}
    write = Path.write_bytes

    def half_written(path, data):
        write(path, bytes(data)[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half_written)
    with pytest.raises(InputError, match="disk full"):
        run(toy([0.5], max_epochs=2), tmp_path, resume=True)
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.pt")} == before
    assert not list(tmp_path.glob(".tmp*"))
    monkeypatch.undo()
    run(toy([0.5], max_epochs=2), tmp_path, resume=True)


def test_network_wrapped_for_several_devices_is_saved_bare(toy, tmp_path):
    training = toy([1.0])
    bare = training.network
    training.network = torch.nn.DataParallel(bare)
    run(training, tmp_path)
    assert set(load(tmp_path / "model.pt")) == set(bare.state_dict())


def test_missing_state_is_one_clear_line(toy, tmp_path):
    with pytest.raises(InputError, match=r"nothing to resume, .*last\.pt does not exist"):
        run(toy([1.0]), tmp_path, resume=True)


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "other"])
def test_damaged_state_is_one_clear_line(toy, tmp_path, damage):
    run(toy([1.0]), tmp_path)
    file = tmp_path / "last.pt"
    if damage == "other":
        torch.save({"model": {}}, file)
    else:
        content = {"cut": file.read_bytes()[:-200], "empty": b"", "text": b"not a checkpoint"}
        file.write_bytes(content[damage])
    with pytest.raises(InputError, match=r"last\.pt is (damaged|not the last state)") as caught:
        run(toy([1.0], max_epochs=2), tmp_path, resume=True)
    assert "\n" not in str(caught.value)
    assert "leave --resume out" in str(caught.value)


def test_state_of_another_network_is_refused(toy, tmp_path):
    run(toy([1.0]), tmp_path)
    other = toy([1.0], max_epochs=2)
    other.network = torch.nn.Conv2d(1, 2, 3)
    with pytest.raises(InputError, match="another network, optimizer or schedule"):
        run(other, tmp_path, resume=True)


def test_state_of_another_dataset_is_refused(toy, tmp_path):
    run(toy([1.0]), tmp_path)
    image = torch.ones(1, 1, 4, 4)
    other = toy([1.0], max_epochs=2, data=[{"image": image, "label": image}] * 5)
    with pytest.raises(InputError, match="3 steps an epoch, this training 5"):
        run(other, tmp_path, resume=True)


def test_schedule_state_loads_with_weights_only(toy, tmp_path):
    training = toy([1.0])
    items = {**items_of(training), "lr_scheduler": ExponentialLR(training.optimizer, 0.9)}
    training.attach(CheckpointWriter(tmp_path, items, training.evaluator))
    training.run()
    assert load(tmp_path / "last.pt")["lr_scheduler"]["gamma"] == 0.9


@pytest.mark.parametrize("names", [["optimizer"], ["model", "trainer"]])
def test_items_must_fit(toy, tmp_path, names):
    training = toy()
    with pytest.raises(ValueError, match="items"):
        CheckpointWriter(tmp_path, dict.fromkeys(names, training.network), training.evaluator)
