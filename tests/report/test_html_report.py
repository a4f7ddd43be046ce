import base64
import json
import re
from html.parser import HTMLParser

import pytest
from small_evaluation import write_evaluation

from custom.errors import InputError
from custom.report.html_report import write_report
from custom.report.mlflow_run import find_run


@pytest.fixture
def evaluation(tmp_path):
    return write_evaluation(tmp_path / "evaluate")


class Page(HTMLParser):
    """Collect what the page refers to, its tables and whether its elements are closed."""

    def __init__(self, text):
        super().__init__()
        self.sources, self.tables, self.open, self.cell = [], [], [], None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.sources += [attributes[name] for name in ("src", "href") if name in attributes]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] += data.strip()


@pytest.fixture
def page(evaluation):
    path = write_report(evaluation)
    assert path == evaluation / "report.html"
    return Page(path.read_text()), path.read_text()


def test_the_page_stands_alone_and_is_well_formed(page):
    parsed, text = page
    assert parsed.open == []
    assert len(parsed.sources) == 1  # one slice
    assert all(source.startswith("data:image/png;base64,") for source in parsed.sources)
    assert base64.b64decode(parsed.sources[0].split(",")[1]) == b"\x89PNG figure"
    assert "http" not in re.sub('base64,[^"]*', "", text)


def test_the_page_says_what_it_is(page):
    _, text = page
    assert "Research use only" in text
    assert "mice &amp; men" in text
    assert "Demonstration data: no real animal" in text
    assert "&lt;middle&gt;" in text
    assert "no backbone weights" in text
    assert "m1_axial: 7" in text
    assert "ab" * 32 in text


def test_the_tables_hold_the_means(page):
    parsed, _ = page
    overall, by_plane = parsed.tables[:2]
    assert overall[0] == ["method", "MSE", "PSNR [dB]", "SSIM"]
    assert overall[3][:1] + overall[3][2:] == ["our model", "24.50 ± 2.38", "0.700 ± 0.000"]
    assert by_plane[1][2] == "20.50 ± 0.71"
    assert parsed.tables[-1][1] == ["LR", "1.25", "", "1"]


def test_names_and_times_are_those_of_the_summary(evaluation):
    summary = json.loads((evaluation / "summary.json").read_text())
    summary["method_names"] |= {"model": "APDDM", "bicubic": "plain U-Net"}
    summary["seconds"]["bicubic"] = {"median": 0.25, "min": 0.1, "max": 5.0, "scans": 3}
    (evaluation / "summary.json").write_text(json.dumps(summary))
    text = write_report(evaluation).read_text()
    overall, *_, times, _ = Page(text).tables
    assert [row[0] for row in overall[1:]] == ["input (nearest)", "plain U-Net", "APDDM"]
    assert times[2] == ["plain U-Net", "0.25", "0.1 to 5"]
    assert "our model" not in text


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
def store(tmp_path_factory):
    """A store with a finished run and an empty one."""
    from mlflow.tracking import MlflowClient

    folder = tmp_path_factory.mktemp("store")
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
    assert find_run(run).curves == {"val_mse": {1: 0.5, 2: 0.25}}
