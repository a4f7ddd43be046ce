import shutil

import mlflow
import pytest

from custom.errors import InputError
from custom.tuning import tracking
from custom.tuning.tracking import STATE_TAG, TRIAL_TAG, Tracker


@pytest.fixture(scope="module")
def store(empty_store, tmp_path_factory):
    file = shutil.copy(empty_store, tmp_path_factory.mktemp("mlflow") / "mlruns.db")
    return f"sqlite:///{file}"


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(tracking, "_SETTLE_SECONDS", 0)


@pytest.fixture
def begun(small_search, store, tmp_path):
    """A search with its tracker started."""
    search = small_search()
    search.tracker = Tracker(store, "toy", tmp_path, "val_mse", {"space": "space.yaml"})
    search.tracker.start(search.study)
    search.client = mlflow.MlflowClient(store)
    return search


def train(search, number):
    """Make the run that the training of a trial makes, from the tracker's overrides."""
    given = search.tracker.overrides(number)
    experiment = search.client.get_experiment_by_name(given["experiment_name"])
    tags = {name: str(value) for name, value in given["run_tags"].items()}
    tags["mlflow.parentRunId"] = given["parent_run"]
    run = search.client.create_run(experiment.experiment_id, run_name=given["run_name"], tags=tags)
    search.client.log_param(run.info.run_id, "learning_rate", "0.001")
    return run.info.run_id


def parent(search):
    return search.client.get_run(search.tracker.run_id)


def children(search):
    experiment = search.client.get_experiment_by_name("toy")
    wanted = f"tags.`mlflow.parentRunId` = '{search.tracker.run_id}'"
    found = search.client.search_runs([experiment.experiment_id], wanted)
    return {int(run.data.tags[TRIAL_TAG]): run for run in found}


@pytest.mark.parametrize(
    ("state", "status"), [("COMPLETE", "FINISHED"), ("PRUNED", "KILLED"), ("FAIL", "FAILED")]
)
def test_a_trial_is_marked_by_how_it_ended(begun, state, status):
    run_id = train(begun, 0)
    begun.tracker.finish_trial(begun.trial([2.0], state, learning_rate=0.02, width=8))
    run = begun.client.get_run(run_id)
    assert run.info.status == status
    assert run.data.tags[STATE_TAG] == state
    assert run.data.params["drawn.learning_rate"] == "0.02"
    assert run.data.params["drawn.width"] == "8"
    assert "drawn.alpha" not in run.data.params
    assert run.data.metrics == ({"best_val_mse": 2.0} if state == "COMPLETE" else {})
    assert list(children(begun)) == [0]


def test_the_search_shows_the_best_so_far(begun):
    for values, state in (([3.0], "COMPLETE"), ([9.0], "PRUNED"), ([1.0], "COMPLETE")):
        begun.tracker.finish_trial(begun.trial(values, state))
    begun.tracker.finish_trial(begun.trial([2.0]))
    history = begun.client.get_metric_history(begun.tracker.run_id, "best_val_mse")
    assert [(point.step, point.value) for point in history] == [(0, 3.0), (2, 1.0), (3, 1.0)]
    run = parent(begun)
    assert run.data.tags["best_trial"] == "2"
    assert run.data.params["space"] == "space.yaml"
    assert run.info.status == "RUNNING"


def test_a_trial_without_a_run_gets_one_with_its_reason(begun):
    begun.tracker.finish_trial(begun.trial([], "FAIL", failure="features too wide"))
    run = children(begun)[0]
    assert run.info.status == "FAILED"
    assert run.data.tags["trial.failure"] == "features too wide"


def test_every_worker_joins_the_same_run(begun, store, tmp_path):
    other = Tracker(store, "toy", tmp_path, "val_mse")
    other.start(begun.study)
    assert other.run_id == begun.tracker.run_id
    assert other.overrides(3)["parent_run"] == begun.tracker.run_id
    assert other.overrides(3)["run_name"] != other.overrides(4)["run_name"]


def test_a_worker_with_another_store_begins_a_run_there(begun, store, empty_store, tmp_path):
    away = Tracker(
        f"sqlite:///{shutil.copy(empty_store, tmp_path / 'away.db')}", "toy", tmp_path, "val_mse"
    )
    away.start(begun.study)
    assert away.run_id != begun.tracker.run_id
    resumed = Tracker(store, "toy", tmp_path, "val_mse")
    resumed.start(begun.study)
    assert resumed.run_id == begun.tracker.run_id


def test_workers_that_begin_at_once_take_the_older_run(small_search, store, tmp_path, monkeypatch):
    search = small_search()
    client = mlflow.MlflowClient(store)
    late, made = Tracker(store, "toy", tmp_path, "val_mse"), []

    def meanwhile(_):
        experiment = client.get_experiment_by_name("toy")
        run = client.create_run(experiment.experiment_id, start_time=1000)
        search.study.set_user_attr(f"mlflow_run:{run.info.run_id}", store)
        made.append(run.info.run_id)

    monkeypatch.setattr(tracking.time, "sleep", meanwhile)
    late.start(search.study)
    assert [late.run_id] == made
    runs = [name.removeprefix("mlflow_run:") for name in search.study.user_attrs]
    stages = {run: client.get_run(run).info.lifecycle_stage for run in runs}
    assert sorted(stages.values()) == ["active", "deleted"]
    assert stages[late.run_id] == "active"


def test_the_end_keeps_files_and_marks_what_a_killed_worker_left(begun, tmp_path):
    left = train(begun, 0)
    begun.trial([2.0], "FAIL", failure="its process died")
    begun.trial([1.0])
    (tmp_path / "plots").mkdir()
    files = [tmp_path / "best.yaml", tmp_path / "plots" / "history.png"]
    for file in files:
        file.write_text("content")
    begun.tracker.end("FINISHED", files)
    assert begun.client.get_run(left).info.status == "FAILED"
    assert {number: run.data.tags[STATE_TAG] for number, run in children(begun).items()} == {
        0: "FAIL",
        1: "COMPLETE",
    }
    assert parent(begun).info.status == "FINISHED"
    assert {file.path for file in begun.client.list_artifacts(begun.tracker.run_id)} == {
        "best.yaml",
        "plots",
    }
    (picture,) = begun.client.list_artifacts(begun.tracker.run_id, "plots")
    assert picture.path == "plots/history.png"


def test_a_search_that_goes_on_is_running_again(begun, store, tmp_path):
    begun.tracker.end("FINISHED")
    assert parent(begun).info.status == "FINISHED"
    Tracker(store, "toy", tmp_path, "val_mse").start(begun.study)
    assert parent(begun).info.status == "RUNNING"


def test_the_run_stays_open_for_other_workers(begun):
    begun.trial([1.0], "RUNNING")
    begun.tracker.end("FINISHED")
    assert parent(begun).info.status == "RUNNING"


def test_a_store_that_goes_away_does_not_end_the_search(begun, monkeypatch, caplog):
    def away(*_, **__):
        raise mlflow.exceptions.MlflowException("gone\naway")

    with monkeypatch.context() as patch:
        patch.setattr(begun.tracker, "_trial_runs", away)
        begun.tracker.finish_trial(begun.trial([1.0]))
    assert sum("cannot be reached (gone away)" in line for line in caplog.messages) == 1
    begun.tracker.end("FINISHED")  # by now it is back
    assert children(begun)[0].data.tags[STATE_TAG] == "COMPLETE"
    assert parent(begun).info.status == "FINISHED"


def test_a_store_that_is_not_there_at_the_start_does_not_stop_the_search(small_search, tmp_path):
    search = small_search()
    tracker = Tracker("http://127.0.0.1:9", "toy", tmp_path, "val_mse")
    tracker.start(search.study)
    assert tracker.overrides(0)["parent_run"] is None
    tracker.finish_trial(search.trial([1.0]))
    tracker.end("FINISHED")


def test_without_tracking_nothing_is_written(small_search, tmp_path):
    search = small_search()
    tracker = Tracker(f"sqlite:///{tmp_path / 'no.db'}", "toy", tmp_path, "val_mse", enabled=False)
    tracker.start(search.study)
    assert tracker.overrides(0) == {"use_mlflow": False}
    tracker.finish_trial(search.trial([1.0]))
    tracker.end("FINISHED", [tmp_path / "missing"])
    assert not (tmp_path / "no.db").exists()
    assert search.study.user_attrs == {}


def test_a_store_that_cannot_be_used_is_one_clear_line(small_search, tmp_path):
    tracker = Tracker(str(tmp_path / "mlruns"), "toy", tmp_path, "val_mse")
    with pytest.raises(InputError, match=r"MLflow cannot be used .*--use_mlflow False") as caught:
        tracker.start(small_search().study)
    assert "\n" not in str(caught.value)


def test_a_search_that_the_user_stops_is_marked_and_taken_up_again(begun, store, tmp_path):
    begun.tracker.finish_trial(begun.trial([2.0], "COMPLETE"))
    begun.tracker.end("KILLED")
    assert parent(begun).info.status == "KILLED"
    again = Tracker(store, "toy", tmp_path, "val_mse", {"space": "space.yaml"})
    again.start(begun.study)
    assert again.run_id == begun.tracker.run_id
    assert parent(begun).info.status == "RUNNING"
