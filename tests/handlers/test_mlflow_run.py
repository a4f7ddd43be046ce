import hashlib
import logging
import shutil
import socket
import time

import mlflow
import pytest
from ignite.engine import Events, State

from custom.errors import InputError
from custom.handlers import mlflow_run
from custom.handlers.mlflow_run import MLflowRun
from custom.handlers.run_folder import ConfigFile, EarlierRun

CONFIG = {"learning_rate": 0.1, "loss": {"_target_": "torch.nn.MSELoss"}}


@pytest.fixture(scope="module")
def store(empty_store, tmp_path_factory):
    file = shutil.copy(empty_store, tmp_path_factory.mktemp("mlflow") / "mlruns.db")
    return f"sqlite:///{file}"


@pytest.fixture(autouse=True)
def _no_uri_from_outside(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def track(training, store, folder, **options):
    config = options.pop("config", CONFIG)
    training.attach(ConfigFile(config, folder / "config.yaml"))
    handler = MLflowRun(
        store,
        "toy",
        training.evaluator,
        config,
        folder,
        artifacts=[folder / "metrics.csv", folder / "previews"],
        weights=folder / "model.pt",
        **options,
    )
    training.attach(handler)
    return handler


def run_of(training, store):
    client = mlflow.MlflowClient(store)
    return client, client.get_run(training.trainer.state.tracking_run)


def test_one_run_holds_training_and_validation_settings_and_files(toy, store, tmp_path):
    training = toy([3.0, 1.0, 2.0])
    track(training, store, tmp_path)
    (tmp_path / "previews").mkdir()
    (tmp_path / "metrics.csv").write_text("epoch")
    (tmp_path / "previews" / "epoch_0001.png").write_text("image")
    (tmp_path / "model.pt").write_text("weights")
    training.run()

    client, run = run_of(training, store)
    assert run.info.status == "FINISHED"
    history = client.get_metric_history(run.info.run_id, "val_mse")
    assert [(point.step, point.value) for point in history] == [(1, 3.0), (2, 1.0), (3, 2.0)]
    losses = client.get_metric_history(run.info.run_id, "train_loss")
    assert [point.step for point in losses] == [1, 2, 3]
    assert run.data.metrics["learning_rate"] == 0.1
    assert run.data.params["learning_rate"] == "0.1"
    assert run.data.params["loss"] == "torch.nn.MSELoss"
    assert run.data.tags["best_epoch"] == "2"
    assert run.data.tags["best_val_mse"] == "1"
    assert run.data.tags["model_sha256"] == hashlib.sha256(b"weights").hexdigest()
    paths = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert paths == {"config.yaml", "metrics.csv", "previews"}
    (preview,) = client.list_artifacts(run.info.run_id, "previews")
    assert preview.path == "previews/epoch_0001.png"


def test_a_new_training_keeps_the_files_of_an_earlier_one_apart(toy, store, tmp_path):
    (tmp_path / "previews").mkdir()
    (tmp_path / "previews" / "epoch_0099.png").write_text("old")
    (tmp_path / "config.yaml").write_text("old")
    training = toy([1.0])
    training.attach(EarlierRun([tmp_path / "previews"]))
    track(training, store, tmp_path)
    training.run()
    assert (tmp_path / "config.1.yaml").read_text() == "old"
    assert "learning_rate" in (tmp_path / "config.yaml").read_text()
    assert (tmp_path / "previews.1" / "epoch_0099.png").exists()
    client, run = run_of(training, store)
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {"config.yaml"}


def test_a_run_can_stand_below_another_with_tags(toy, store, tmp_path):
    client = mlflow.MlflowClient(store)
    experiment = client.create_experiment("searches")
    parent = client.create_run(experiment).info.run_id
    training = toy([1.0])
    track(training, store, tmp_path, parent_run=parent, tags={"optuna_trial": 7})
    training.run()
    _, run = run_of(training, store)
    assert run.data.tags["mlflow.parentRunId"] == parent
    assert run.data.tags["optuna_trial"] == "7"

    alone = toy([1.0])
    track(alone, store, tmp_path)
    alone.run()
    assert "mlflow.parentRunId" not in run_of(alone, store)[1].data.tags


def test_runs_have_names_of_their_own(toy, store, tmp_path):
    names = set()
    for _ in range(2):
        training = toy([1.0])
        track(training, store, tmp_path)
        training.run()
        names.add(run_of(training, store)[1].info.run_name)
    assert len(names) == 2


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError("bad"), "FAILED"), (KeyboardInterrupt(), "KILLED")]
)
def test_an_exception_marks_the_run_and_goes_on(toy, store, tmp_path, error, status):
    training = toy([1.0])
    track(training, store, tmp_path)

    def fail():
        raise error

    training.trainer.add_event_handler(Events.ITERATION_COMPLETED, fail)
    with pytest.raises(type(error)):
        training.run()
    assert run_of(training, store)[1].info.status == status


def test_resumed_training_goes_on_in_its_run(toy, store, tmp_path):
    first = toy([3.0, 2.0])
    # As an older version stored the address of a tracking server.
    track(first, store, tmp_path, config={**CONFIG, "tracking_uri": "http://NAME:***@host"})
    first.run()
    run_id = first.trainer.state.tracking_run

    second = toy([1.0], max_epochs=3, start=2)
    second.trainer.state.tracking_run = run_id
    # A setting that changed on the way must not end the training; MLflow keeps the first value.
    changed = {"learning_rate": 0.5, "batch_size": 4, "tracking_uri": "http://***@host"}
    track(second, store, tmp_path, config={**CONFIG, **changed})
    second.run()
    client, run = run_of(second, store)
    assert run.info.run_id == run_id
    assert run.info.status == "FINISHED"
    history = client.get_metric_history(run_id, "val_mse")
    assert [(point.step, point.value) for point in history] == [(1, 3.0), (2, 2.0), (3, 1.0)]
    assert run.data.params["learning_rate"] == "0.1"
    assert run.data.tags["resumed.learning_rate"] == "0.5 after epoch 2"
    assert "resumed.tracking_uri" not in run.data.tags
    assert run.data.params["batch_size"] == "4"
    assert "learning_rate: 0.1" in (tmp_path / "config.1.yaml").read_text()
    assert "learning_rate: 0.5" in (tmp_path / "config.yaml").read_text()


def test_a_run_that_the_checkpoint_does_not_know_goes_on_as_well(toy, store, tmp_path):
    """A new store may take longer than the first epoch."""
    first = toy([3.0, 2.0])
    track(first, store, tmp_path)
    first.run()
    second = toy([1.0], max_epochs=3, start=2)
    track(second, store, tmp_path)
    second.run()
    assert second.trainer.state.tracking_run == first.trainer.state.tracking_run


def test_resume_without_the_old_store_begins_a_run_and_says_so(toy, store, tmp_path, caplog):
    training = toy([1.0])
    training.trainer.state.tracking_run = "0" * 32
    track(training, store, tmp_path)
    training.run()
    assert "is not in this store" in caplog.text
    assert run_of(training, store)[1].info.status == "FINISHED"


def test_environment_wins_over_the_config(toy, store, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    training = toy([1.0])
    track(training, f"sqlite:///{tmp_path / 'other.db'}", tmp_path)
    training.run()
    assert run_of(training, store)[1].info.status == "FINISHED"
    assert not (tmp_path / "other.db").exists()


def test_a_server_that_goes_away_does_not_end_the_training(
    toy, store, tmp_path, monkeypatch, caplog
):
    training = toy([1.0, 2.0, 3.0])
    handler = track(training, store, tmp_path)

    def away(*_, **__):
        raise mlflow.exceptions.MlflowException("gone")

    def lose(engine):
        if engine.state.epoch == 1:
            patch.setattr(mlflow.MlflowClient, "log_batch", away)
            patch.setattr(mlflow.MlflowClient, "log_artifact", away)
        else:
            handler._outbox.wait(20)
            patch.undo()

    training.trainer.add_event_handler(Events.EPOCH_STARTED, lose)
    with monkeypatch.context() as patch:
        assert training.run() == 3
    client, run = run_of(training, store)
    assert run.info.status == "FINISHED"
    history = client.get_metric_history(run.info.run_id, "val_mse")
    assert [(point.step, point.value) for point in history] == [(1, 1.0), (2, 2.0), (3, 3.0)]
    assert sum("cannot be reached" in line for line in caplog.messages) == 1


@pytest.fixture
def silent_server():
    """The address of a server that takes a request and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://me:secret@127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize("kind", ["refused", "silent"])
def test_a_dead_server_neither_ends_nor_delays_a_training(
    toy, silent_server, tmp_path, monkeypatch, caplog, capfd, kind
):
    # Another test's handler may hold a stream that is closed: logging would print the traceback.
    monkeypatch.setattr(logging, "raiseExceptions", False)
    monkeypatch.setattr(mlflow_run, "_START_SECONDS", 0.2)
    monkeypatch.setattr(mlflow_run, "_END_SECONDS", {"FINISHED": 0.2})
    server = "http://me:secret@127.0.0.1:9" if kind == "refused" else silent_server
    training = toy([1.0, 2.0, 3.0])
    track(training, server, tmp_path)
    begun = time.monotonic()
    assert training.run() == 3
    assert time.monotonic() - begun < 5
    assert "entries could not be sent to MLflow" in caplog.text
    assert sum("cannot be reached" in line for line in caplog.messages) == (kind == "refused")
    assert "secret" not in caplog.text + "".join(capfd.readouterr())


def test_the_run_of_a_killed_training_is_closed_at_the_next_start(toy, store, tmp_path):
    killed = track(toy([1.0]), store, tmp_path)
    killed._outbox.put(lambda: killed._begin(State(), False, {}))
    assert killed._outbox.wait(20)
    other = tmp_path / "other"
    for folder, status in ((other, "RUNNING"), (tmp_path, "KILLED")):
        training = toy([1.0])
        track(training, store, folder)
        training.run()
        client, run = run_of(training, store)
        assert run.info.status == "FINISHED"
        assert client.get_run(killed._run_id).info.status == status


def test_store_that_cannot_be_used_is_one_clear_line(toy, tmp_path):
    with pytest.raises(InputError, match=r"MLflow cannot be used .*--use_mlflow False") as caught:
        track(toy([1.0]), str(tmp_path / "mlruns"), tmp_path)
    assert "\n" not in str(caught.value)
