"""Stores that are new, wrongly addressed, away, and asked for at once."""

import multiprocessing
import shutil
import threading

import mlflow
import pytest
import sqlalchemy
from mlflow.exceptions import MlflowException
from monai.utils import path_to_sqlite_uri
from sqlalchemy.engine import Engine

from custom.errors import InputError
from custom.files.database_url import sqlite_file, sqlite_url
from custom.handlers import mlflow_store
from custom.handlers.mlflow_store import Outbox, check_address, open_store


@pytest.fixture(autouse=True)
def _no_uri_from_outside(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_a_first_start_that_is_interrupted_leaves_no_store(tmp_path):
    """MLflow opens a file with some of its tables never again."""
    left = [40]

    def stop(*_):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt

    sqlalchemy.event.listen(Engine, "before_cursor_execute", stop)
    try:
        with pytest.raises(KeyboardInterrupt):
            open_store(sqlite_url(tmp_path / "mlruns.db"), "toy")
    finally:
        sqlalchemy.event.remove(Engine, "before_cursor_execute", stop)
    assert left == [-1]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a mouse ü", "100%25?"])
@pytest.mark.parametrize("place", ["argument", "environment"])
def test_a_new_folder_of_any_name_holds_store_and_artifacts(
    tmp_path, monkeypatch, empty_store, name, place
):
    """As MONAI writes its address in the configs, and as a user may."""
    copied = lambda uri: shutil.copy(empty_store, sqlite_file(uri))  # noqa: E731
    monkeypatch.setattr(mlflow_store, "_make_tables", copied)
    file = tmp_path / name / "mlruns.db"
    uri = monai_uri = path_to_sqlite_uri(file)
    if place == "environment":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        monai_uri = "sqlite:///elsewhere.db"
    store = open_store(monai_uri, "toy")
    run = store.client.create_run(store.experiment.experiment_id).info.run_id
    (tmp_path / name / "note.txt").write_text("x")
    store.client.log_artifact(run, str(tmp_path / name / "note.txt"))
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert len(list((tmp_path / name / "mlruns").rglob("note.txt"))) == 1


def test_processes_that_need_a_new_store_at_once_all_get_it(tmp_path):
    uri = sqlite_url(tmp_path / "mlruns.db")
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=open_store, args=(uri, "toy")) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    names = [one.name for one in mlflow.MlflowClient(uri).search_experiments()]
    assert sorted(names) == ["Default", "toy"]


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("/data/mlruns", "no address of a store"),
        ("file:///data/mlruns", "MLflow 3 keeps none in folders"),
        ("databricks", "databricks://PROFILE"),
        ("postgres://me:secret@host/x", "write postgresql://"),
    ],
)
def test_an_address_that_no_store_can_have_is_refused(uri, message):
    with pytest.raises(InputError, match=rf"MLflow cannot be used .*{message}.*--use_mlflow False"):
        check_address(uri)


def test_a_profile_of_databricks_is_an_address():
    check_address("databricks://profile")


def test_calls_are_made_in_order_and_kept_while_the_store_is_away(caplog):
    made, away = [], threading.Event()

    def call(number):
        if number == 2 and not away.is_set():
            raise MlflowException("gone\naway")  # as of a server without an answer
        if number == 4:
            raise MlflowException("no such run", error_code=mlflow.protos.databricks_pb2.NOT_FOUND)
        made.append(number)

    outbox = Outbox()
    for number in range(1, 7):
        outbox.put(lambda number=number: call(number))
    assert not outbox.wait(5)
    assert not outbox.wait(5)
    assert made == [1]
    away.set()
    assert outbox.wait(5)
    assert made == [1, 2, 3, 5, 6]
    assert [line for line in caplog.messages if "gone away" in line] == caplog.messages[:1]
    assert "MLflow refused an entry (no such run)" in caplog.text
    outbox.close(5)
    outbox._thread.join(5)
    assert not outbox._thread.is_alive()


def test_nobody_waits_for_a_call_that_does_not_end():
    outbox, held = Outbox(), threading.Event()
    outbox.put(held.wait)
    assert not outbox.wait(0.05)
    outbox.close(0.05)
    held.set()
