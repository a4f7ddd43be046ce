import base64
import shutil
import time

import pytest
from made_evaluation import write_made_evaluation
from page_reader import Page

from custom.errors import InputError
from custom.report.html_report import write_report


@pytest.fixture
def evaluation(tmp_path):
    return write_made_evaluation(tmp_path / "evaluate")


def test_a_training_folder_has_curves(tmp_path):
    (tmp_path / "metrics.csv").write_text("epoch,train_loss,val_mse\n1,2,3\n2,1,\n")
    (tmp_path / "previews").mkdir()
    for name in ("epoch_0005.png", "epoch_0010.png"):
        (tmp_path / "previews" / name).write_bytes(name.encode())
    parsed = Page(write_report(tmp_path).read_text())
    assert parsed.tables == [[["epoch", "train_loss", "val_mse"], ["1", "2", "3"], ["2", "1", ""]]]
    assert base64.b64decode(parsed.sources[1].split(",")[1]) == b"epoch_0010.png"


def test_anything_else_is_refused_in_one_line(tmp_path, evaluation, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(InputError, match="holds no result"):
        write_report(tmp_path)
    with pytest.raises(InputError, match="neither a folder nor the id"):
        write_report(tmp_path / "nowhere")
    with pytest.raises(InputError, match="nor a run in"):
        write_report("0" * 32)
    (evaluation / "summary.json").write_text("{}")
    with pytest.raises(InputError, match="evaluate again"):
        write_report(evaluation)


@pytest.fixture(scope="module")
def store(tmp_path_factory, empty_store):
    """A store with a finished run and an empty one."""
    from mlflow.tracking import MlflowClient

    folder = tmp_path_factory.mktemp("store")
    shutil.copy(empty_store, folder / "mlruns.db")
    client = MlflowClient(f"sqlite:///{folder / 'mlruns.db'}")
    experiment = client.create_experiment("study", artifact_location=str(folder))
    run = client.create_run(experiment, run_name="first").info.run_id
    client.log_param(run, "learning_rate", "0.001")
    for epoch, value in ((1, 0.5), (2, 0.25)):
        client.log_metric(run, "val_mse", value, step=epoch)
    client.set_terminated(run, "FINISHED")
    empty = client.create_run(experiment, run_name="empty").info.run_id
    return folder / "mlruns.db", run, empty


def test_a_tracked_run_has_a_report_beside_its_store(store, monkeypatch, tmp_path):
    file, run, empty = store
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(file.parent)
    path = write_report(run)
    assert path == file.parent / f"report_{run}.html"
    text = path.read_text()
    assert Page(text).tables == [[["epoch", "val_mse"], ["1", "0.5"], ["2", "0.25"]]]
    assert "Training first" in text
    assert "<dt>learning_rate</dt><dd>0.001</dd>" in text
    with pytest.raises(InputError, match="no metric yet: it is RUNNING"):
        write_report(empty)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{file}")
    path.unlink()
    assert write_report(run) == path
    assert Page(path.read_text()).tables[0][1:] == [["1", "0.5"], ["2", "0.25"]]


def test_a_server_that_is_away_is_one_line_soon_and_without_password(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    begun = time.monotonic()
    with pytest.raises(InputError, match=r"http://\*\*\*@127.0.0.1:9 cannot be reached") as caught:
        write_report("0" * 32)
    assert "secret" not in str(caught.value)
    assert time.monotonic() - begun < 10
