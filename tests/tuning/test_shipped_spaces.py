"""The search spaces that the bundles ship, and the paper's against its own result."""

import optuna
import pytest
import yaml
from monai.bundle import ConfigParser

from custom.bundle.locate import all_bundles, find_bundle
from custom.bundle.verification.bundle_folder import is_search_space
from custom.tuning.results import best_overlay
from custom.tuning.space_file import load_space
from custom.tuning.study import make_pruner, make_sampler

FILES = [
    file
    for bundle in all_bundles()
    for file in sorted(bundle.glob("configs/*.yaml"))
    if is_search_space(file)
]
CONFIGS = find_bundle("micro_mri_denoise") / "configs"
# Printed as the best trial of the paper's search, and what tuned.yaml fixes where it is silent.
WINNER = {"features_1": 128, "features_2": 128, "features_3": 64, "batch_size": 16}
WINNER |= {"down": "strided", "up": "bilinear", "residual": False, "activation": "relu"}
WINNER |= {"learning_rate": 3.139e-4, "optimizer": "Adam", "schedule": "step", "decay": 0.5}
WINNER |= {"loss": "mse"}


def train_config(configs):
    return dict(ConfigParser.load_config_files([str(configs / "train.yaml")]))


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parts[-3]}-{file.stem}")
def test_every_shipped_space_fits_its_bundle(file):
    space = load_space(file)
    space.check_ids(train_config(file.parent))
    make_pruner(space.pruner)
    study = optuna.create_study(sampler=make_sampler(space.sampler, 0))
    for _ in range(20):
        trial = study.ask()
        drawn = space.draw(trial)
        assert space.overrides(drawn).result
        study.tell(trial, 1.0)


@pytest.mark.parametrize("bundle", all_bundles(), ids=lambda bundle: bundle.name)
def test_every_bundle_can_be_searched_for_the_metric_that_chooses_its_weights(bundle):
    space = load_space(bundle / "configs" / "tune.yaml")
    config = train_config(bundle / "configs")
    key = config["validate"]["key_metric"]
    assert space.metric in (config[key[1:]] if isinstance(key, str) else key)
    smaller = "metric_cmp_fn" in config["validate"]["evaluator"]  # operator.lt; else larger
    assert space.direction == ("minimize" if smaller else "maximize")


@pytest.fixture
def space():
    return load_space(CONFIGS / "tune.yaml")


def test_the_published_space_has_the_printed_choices(space):
    choices = {name: parameter.choices for name, parameter in space.parameters.items()}
    assert choices["features_1"] == (32, 64, 128)
    assert choices["features_2"] == (64, 128, 256)
    assert choices["features_3"] == (64, 128, 256, 512)  # erratum: printed without 64
    assert choices["down"] == ("max", "mean", "strided")
    assert choices["loss"] == ("mse", "mae", "hybrid")
    rate, alpha = space.parameters["learning_rate"], space.parameters["alpha"]
    assert rate.options == {"low": 1e-6, "high": 1e-2, "log": True}
    assert (alpha.options, alpha.when) == ({"low": 0.0, "high": 1.0}, {"loss": ("hybrid",)})


def test_the_published_winner_lies_in_the_published_space(space):
    # A value outside its range is refused by FixedTrial.
    drawn = space.draw(optuna.trial.FixedTrial(WINNER))
    assert drawn == WINNER  # with no alpha
    overlay = best_overlay(train_config(CONFIGS), space, WINNER)
    tuned = yaml.safe_load((CONFIGS / "tuned.yaml").read_text())
    assert {"network_def", "learning_rate", "loss", "optimizer", "lr_scheduler"} <= set(overlay)
    assert {name: tuned.get(name) for name in overlay} == overlay


def test_what_lies_outside_the_published_space_is_refused(space):
    with pytest.raises(ValueError, match="32"):
        space.draw(optuna.trial.FixedTrial({**WINNER, "features_3": 32}))
