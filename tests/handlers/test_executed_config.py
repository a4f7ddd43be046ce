from copy import deepcopy
from pathlib import Path

import pytest
import torch
import yaml
from ignite.engine import Engine
from monai.bundle import ConfigParser

from custom.handlers.executed_config import (
    MAY_CHANGE,
    changed_settings,
    config_parameters,
    config_yaml,
    executed_config,
)
from custom.handlers.run_folder import ConfigFile

CONFIG = {
    "imports": ["$from custom.handlers.executed_config import executed_config"],
    "learning_rate": 0.1,
    "crop_size": [8, 8],
    "output_dir": "$'/tmp' + '/x'",
    "dataset_dir": "/data/mice",
    "network_def": {"_target_": "torch.nn.Linear", "in_features": 2, "out_features": 3},
    "optimizer": {"_target_": "torch.optim.SGD", "params": "$[]", "lr": "@learning_rate"},
    "train": {"handler": {"config": "$executed_config()", "copy": "%network_def"}},
}


def parser():
    config = ConfigParser(deepcopy(CONFIG))
    config.parse(True)
    return config


def test_expression_gets_the_merged_content_around_it():
    config = parser()
    config["learning_rate"] = 0.2
    found = config.get_parsed_content("train::handler::config")
    assert found["learning_rate"] == 0.2
    assert found["network_def"] == CONFIG["network_def"]
    assert found["train"]["handler"]["copy"]["out_features"] == 3
    assert "_meta_" not in found


def test_no_password_comes_out():
    config = parser()
    config["tracking_uri"] = "https://me:secret@host/x"
    config["network_def"]["from"] = ["sqlite:////a b/x.db", "http://me:secret@more/@host"]
    found = config.get_parsed_content("train::handler::config")
    assert found["tracking_uri"] == "https://***@host/x"
    assert found["network_def"]["from"][0] == "sqlite:////a b/x.db"
    assert "secret" not in config_yaml(found) + str(config_parameters(found))
    assert config["tracking_uri"] == "https://me:secret@host/x"


def test_what_comes_out_can_be_changed_without_harm():
    config = parser()
    config.get_parsed_content("train::handler::config")["network_def"]["in_features"] = 99
    assert config["network_def::in_features"] == 2


def test_outside_a_config_it_refuses():
    with pytest.raises(RuntimeError, match="executed_config"):
        executed_config()


def test_the_file_gives_the_config_back_in_order_even_with_objects_in_it(tmp_path):
    config = parser()
    config["device"] = torch.device("cpu")
    found = config.get_parsed_content("train::handler::config")
    ConfigFile(found, tmp_path / "config.yaml")(Engine(print))
    back = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert list(back) == [*CONFIG, "device"]
    assert back["device"] == "cpu"
    assert back["optimizer"]["lr"] == "@learning_rate"


def test_parameters_are_plain_values_with_references_resolved():
    assert config_parameters(CONFIG) == {
        "learning_rate": "0.1",
        "crop_size": "[8, 8]",
        "dataset_dir": "/data/mice",
        "network_def": "torch.nn.Linear",
        "network_def.in_features": "2",
        "network_def.out_features": "3",
        "optimizer": "torch.optim.SGD",
        "optimizer.lr": "0.1",
    }


CHANGES = [
    ({"learning_rate": 0.2}, ["learning_rate 0.2 (before: 0.1)"]),
    ({"dataset_dir": "/data/rats"}, ["dataset_dir /data/rats (before: /data/mice)"]),
    ({"loss": {"_target_": "L1"}}, ["loss::_target_ L1 (before: not there)"]),
    (
        {"network_def": {**CONFIG["network_def"], "in_features": 3}},
        ["network_def::in_features 3 (before: 2)"],
    ),
    ({"output_dir": "/elsewhere", "max_epochs": 9, "device": "cuda", "cache_slices": 3}, []),
    ({"use_mlflow": True, "tracking_uri": "sqlite:///b.db", "run_tags": {"a": 1}}, []),
    ({"train": {"dataloader": {"num_workers": 4}, **CONFIG["train"]}}, []),
]


@pytest.mark.parametrize(("change", "expected"), CHANGES)
def test_what_a_resumed_training_may_not_change_is_named(change, expected):
    assert changed_settings(CONFIG, {**CONFIG, **change}) == expected
    assert changed_settings(CONFIG, CONFIG) == []


def test_names_and_passwords_of_addresses_are_no_setting():
    before, now = ({"a": [f"http://{name}***@host"]} for name in ("NAME:", ""))
    assert changed_settings(before, now) == []


def test_every_id_that_may_change_is_one_of_a_bundle():
    configs = Path(__file__).parents[2].glob("bundles/*/configs/*train.yaml")
    known = {name for path in configs for name in yaml.safe_load(path.read_text())}
    assert set(MAY_CHANGE) <= known
