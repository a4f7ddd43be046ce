"""A config that names what is gone, as an old run's or an old search's, is refused in one line."""

import shutil
from pathlib import Path

import pytest
import yaml
from monai.bundle import ConfigParser

from custom.bundle.config_ids import check_names
from custom.bundle.launch import run_bundle
from custom.errors import InputError

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"
OWN = sorted(BUNDLES.glob("*/configs/*.yaml"))


@pytest.mark.parametrize(
    ("config", "place", "name"),
    [
        (
            {"train": {"handlers": [{"_target_": "custom.handlers.gone.Gone"}]}},
            "train::handlers::0::_target_",
            "custom.handlers.gone.Gone",
        ),
        (
            {"loss": {"_target_": "custom.losses.mse_ssim.Other"}},
            "loss::_target_",
            "custom.losses.mse_ssim.Other",
        ),
        (
            {"imports": ["$import os", "$from custom.errors import InputError, Gone as G"]},
            "imports::1",
            "custom.errors.Gone",
        ),
        ({"seed": "$custom.gone.number(@rank)"}, "seed", "custom.gone.number"),
    ],
)
def test_what_is_gone_is_named_with_its_place(config, place, name):
    with pytest.raises(InputError) as caught:
        check_names(config, "configs/train.yaml")
    message = str(caught.value)
    assert message.startswith(f"{place}: {name} does not exist")
    assert "start from the bundle's own configs/train.yaml" in message
    assert "\n" not in message


def test_what_is_there_and_what_is_no_name_pass():
    config = {
        "imports": ["$from custom.errors import InputError as E", "$import custom.errors"],
        "part": {"_target_": "custom.errors.InputError"},
        "other": {"_target_": "customs.gone.Gone"},
        "text": "custom.gone is what it was called",
    }
    check_names(config, "configs/train.yaml")


def test_the_bundles_own_configs_name_nothing_that_is_gone():
    assert len(OWN) > 20
    for path in OWN:
        check_names(ConfigParser.load_config_file(str(path)), path.name)


def test_a_stored_config_of_an_old_run_is_refused_before_anything_is_made(tmp_path):
    bundle = BUNDLES / "micro_mri_denoise"
    copy = tmp_path / bundle.name
    shutil.copytree(bundle / "configs", copy / "configs")
    old = yaml.safe_load((copy / "configs" / "train.yaml").read_text(encoding="utf-8"))
    listed = {"_target_": "custom.handlers.listed.listed", "handler": "@early_stopping"}
    old["train"]["handlers"].insert(0, listed)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(old), encoding="utf-8")
    with pytest.raises(InputError, match=r"custom\.handlers\.listed\.listed does not exist"):
        run_bundle(copy, ["train", str(tmp_path / "config.yaml")], {"use_mlflow": False})
    assert sorted(path.name for path in copy.iterdir()) == ["configs"]
