import csv

from custom.handlers.epoch_table import EpochTable


def rows(path):
    with path.open(newline="") as text:
        return list(csv.DictReader(text))


def run(training, path):
    training.attach(EpochTable(path, training.evaluator))
    training.run()


def test_one_line_an_epoch(toy, tmp_path):
    path = tmp_path / "metrics.csv"
    run(toy([3.0, 1.0 / 3]), path)
    first, second = rows(path)
    assert list(first) == ["epoch", "train_loss", "val_mse", "learning_rate", "seconds"]
    assert (first["epoch"], second["epoch"]) == ("1", "2")
    assert (first["val_mse"], second["val_mse"]) == ("3", "0.3333333")
    assert float(second["train_loss"]) < float(first["train_loss"])
    assert first["learning_rate"] == "0.1"


def test_epoch_without_validation_leaves_a_gap(toy, tmp_path):
    path = tmp_path / "metrics.csv"
    run(toy([3.0], max_epochs=2, interval=2), path)
    assert [row["val_mse"] for row in rows(path)] == ["", "3"]


def test_resumed_training_goes_on_from_its_epoch(toy, tmp_path):
    path = tmp_path / "metrics.csv"
    run(toy([5.0, 4.0, 3.0]), path)
    run(toy([2.0], max_epochs=3, start=2), path)
    assert [row["val_mse"] for row in rows(path)] == ["5", "4", "2"]
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.csv"]


def test_new_training_keeps_the_earlier_table(toy, tmp_path):
    path = tmp_path / "metrics.csv"
    run(toy([5.0, 4.0]), path)
    run(toy([1.0]), path)
    assert [row["val_mse"] for row in rows(path)] == ["1"]
    assert [row["val_mse"] for row in rows(tmp_path / "metrics.1.csv")] == ["5", "4"]
