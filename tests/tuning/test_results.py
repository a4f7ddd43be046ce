import copy
import csv
import json
from pathlib import Path

import optuna
import pytest
import torch
import yaml
from monai.bundle import ConfigParser

from custom.bundle.locate import find_bundle
from custom.errors import InputError
from custom.losses.mse_ssim import MseSsimLoss
from custom.report.html_report import write_report
from custom.tuning import results
from custom.tuning.parameter import SpaceError, read_parameter
from custom.tuning.results import best_overlay, write_results
from custom.tuning.space_file import load_space

CONFIGS = find_bundle("micro_mri_denoise") / "configs"


@pytest.fixture(scope="module")
def train_config():
    return ConfigParser.load_config_files([str(CONFIGS / "train.yaml")])


@pytest.fixture
def hybrid_search(small_search):
    """A search whose third trial is the best, with the hybrid loss."""
    search = small_search()
    search.trial([4.0, 3.0])
    search.trial([9.0], "PRUNED", optimizer="SGD")
    search.trial([3.0, 2.0], width=8, loss="hybrid", alpha=0.25, learning_rate=0.02)
    search.trial([], "FAIL", failure="val_mse is nan at epoch 1")
    return search


@pytest.fixture
def no_pictures(monkeypatch):
    """Leave the drawing out, which takes most of the time."""
    monkeypatch.setattr(results, "write_plots", lambda *_: [])


def write(search, config, folder, command="mri-bundles train toy --config best.yaml"):
    return write_results(search.study, search.space, config, folder, command)


def test_overlay_holds_whole_ids_with_what_was_drawn_and_fixed(hybrid_search, train_config):
    before = copy.deepcopy(train_config)
    best = hybrid_search.study.best_trial
    overlay = best_overlay(train_config, hybrid_search.space, best.params)
    assert train_config == before
    assert set(overlay) == {"network_def", "optimizer", "learning_rate", "loss", "max_epochs"}
    assert overlay["network_def"] == {**before["network_def"], "features": [8, 8, 8]}
    assert overlay["optimizer"] == before["optimizer"]  # Adam, as the config has
    assert overlay["learning_rate"] == 0.02
    assert overlay["loss"]["alpha"] == 0.25
    assert overlay["max_epochs"] == 40


def test_overlay_keeps_what_the_user_set_in_the_same_id(hybrid_search, train_config):
    config = copy.deepcopy(train_config)
    config["network_def"]["activation"] = "elu"
    overlay = best_overlay(config, hybrid_search.space, hybrid_search.study.best_trial.params)
    assert overlay["network_def"]["activation"] == "elu"


@pytest.mark.usefixtures("no_pictures")
def test_written_overlay_trains_evaluates_and_restores(hybrid_search, train_config, tmp_path):
    best, *_ = write(hybrid_search, train_config, tmp_path)
    for name in ("train", "evaluate", "inference"):
        parser = ConfigParser()
        parser.read_config([str(CONFIGS / f"{name}.yaml"), str(best)])
        network = parser.get_parsed_content("network_def")
        widths = [getattr(part, "out_channels", 0) for part in network.modules()]
        assert max(widths) == 8  # 64 in the configs
        assert parser["network_def::features"] == [8, 8, 8]
        if name == "train":
            optimizer = parser.get_parsed_content("optimizer")
            assert isinstance(optimizer, torch.optim.Adam)
            assert optimizer.param_groups[0]["lr"] == 0.02
            loss = parser.get_parsed_content("loss")
            assert isinstance(loss, MseSsimLoss)
            assert loss.alpha == 0.25


@pytest.mark.usefixtures("no_pictures")
def test_overlay_says_where_it_comes_from(hybrid_search, train_config, tmp_path):
    best, *_ = write(hybrid_search, train_config, tmp_path)
    comment = [line for line in best.read_text().splitlines() if line.startswith("#")]
    text = "\n".join(comment)
    assert "trial 2, val_mse 2 (2 complete, 1 fail, 1 pruned)" in text
    assert "mri-bundles train toy --config best.yaml" in text
    assert "alpha 0.25" in text
    assert all(len(line) <= 100 for line in comment)


@pytest.mark.usefixtures("no_pictures")
def test_table_has_a_row_a_trial(hybrid_search, train_config, tmp_path):
    write(hybrid_search, train_config, tmp_path)
    with (tmp_path / "trials.csv").open() as text:
        rows = list(csv.DictReader(text))
    assert [row["state"] for row in rows] == ["complete", "pruned", "complete", "fail"]
    assert [row["value"] for row in rows] == ["3", "", "2", ""]
    assert [row["epochs"] for row in rows] == ["2", "1", "2", "0"]
    assert [row["alpha"] for row in rows] == ["", "", "0.25", ""]
    assert [row["notes"] for row in rows] == ["", "", "", "val_mse is nan at epoch 1"]
    assert rows[1]["optimizer"] == "SGD"
    for name in set(rows[0]) - set(hybrid_search.space.parameters):
        with pytest.raises(SpaceError, match="a column of"):
            read_parameter(name, {"type": "categorical", "choices": [1], "id": "x"}, {})


@pytest.mark.parametrize(("direction", "best"), [("minimize", 1), ("maximize", 2)])
@pytest.mark.usefixtures("no_pictures")
def test_summary_sets_the_best_against_the_first_completed(
    small_search, train_config, tmp_path, direction, best
):
    search = small_search(direction)
    search.trial([7.0], "PRUNED")  # number 0: no value
    for value in (1.0, 5.0, 3.0):
        search.trial([value])
    write(search, train_config, tmp_path)
    summary = json.loads((tmp_path / "search.json").read_text())
    assert (summary["first"]["trial"], summary["first"]["value"]) == (1, 1.0)
    assert summary["best"]["trial"] == best
    assert summary["trials"] == {"complete": 3, "pruned": 1}
    rows = write_report(tmp_path).read_text().split("All trials")[1].split("<tr><td>")[1:]
    wanted = {"minimize": "1320", "maximize": "2310"}[direction]  # the pruned one last
    assert "".join(row[0] for row in rows) == wanted


@pytest.mark.usefixtures("no_pictures")
def test_choices_that_are_lists_come_back_as_lists(train_config, tmp_path):
    file = tmp_path / "space.yaml"
    file.write_text(
        "metric: val_mse\ndirection: minimize\nparameters:\n  features:\n    type: categorical\n"
        "    choices: [[4, 8, 8], [8, 8, 8]]\n    id: network_def::features\n"
    )
    space, study = load_space(file), optuna.create_study()
    trial = study.ask()
    drawn = space.draw(trial)["features"]
    study.tell(trial, 1.0)
    best, *_ = write_results(study, space, train_config, tmp_path)
    assert yaml.safe_load(best.read_text())["network_def"]["features"] == drawn
    assert isinstance(drawn, list)


def test_without_a_completed_trial_there_is_no_overlay(small_search, train_config, tmp_path):
    (tmp_path / "best.yaml").write_text("learning_rate: 1")
    search = small_search()
    search.trial([], "FAIL", failure="out of memory")
    files = write(search, train_config, tmp_path)
    assert not (tmp_path / "best.yaml").exists()
    assert {file.name for file in files} == {"trials.csv", "search.json", "report.html"}
    page = (tmp_path / "report.html").read_text()
    assert "No trial was completed" in page
    assert "out of memory" in page


def test_everything_named_is_there(hybrid_search, train_config, tmp_path):
    files = write(hybrid_search, train_config, tmp_path)
    assert all(Path(file).is_file() for file in files)
    names = {str(file.relative_to(tmp_path)) for file in files}
    assert names >= {"best.yaml", "trials.csv", "search.json", "plots/history.png", "report.html"}
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 3
    assert "0.02" in page


@pytest.mark.usefixtures("no_pictures")
def test_a_broken_summary_is_one_clear_line(hybrid_search, train_config, tmp_path):
    write(hybrid_search, train_config, tmp_path)
    for text in ("{", "[]", '{"study": "toy"}'):
        (tmp_path / "search.json").write_text(text)
        with pytest.raises(InputError, match=r"search\.json is not the summary of a search"):
            write_report(tmp_path)
