import math

import optuna
import pytest
import yaml

from custom.errors import InputError
from custom.tuning.trial_run import train_trial

# A line through two points: the validation error after each epoch has a closed form.
CONFIG = {
    "imports": ["$import operator", "$import torch", "$import pathlib"],
    "output_dir": ".",
    "rate": 0.1,
    "max_epochs": 4,
    "interval": 1,
    "data": "$[{'image': torch.ones(1, 1, 2, 2), 'label': 2 * torch.ones(1, 1, 2, 2)}]",
    "network": {"_target_": "torch.nn.Conv2d", "in_channels": 1, "out_channels": 1}
    | {"kernel_size": 1, "bias": False},
    "validate": {
        "key_metric": {
            "val_mse": {
                "_target_": "MeanSquaredError",
                "output_transform": "$monai.handlers.from_engine(['pred', 'label'])",
            }
        },
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "cpu",
            "val_data_loader": "@data",
            "network": "@network",
            "key_val_metric": "@validate::key_metric",
            "metric_cmp_fn": "$operator.lt",
        },
    },
    "train": {
        "trainer": {
            "_target_": "SupervisedTrainer",
            "device": "cpu",
            "max_epochs": "@max_epochs",
            "train_data_loader": "@data",
            "network": "@network",
            "loss_function": {"_target_": "torch.nn.MSELoss"},
            "optimizer": {"_target_": "torch.optim.SGD", "lr": "@rate"}
            | {"params": "$@network.parameters()"},
            "train_handlers": [
                {
                    "_target_": "ValidationHandler",
                    "validator": "@validate::evaluator",
                    "interval": "@interval",
                }
            ],
        }
    },
    "initialize": ["$torch.nn.init.zeros_(@network.weight)"],
    "run": ["$@train::trainer.run()"],
    "finalize": ["$pathlib.Path(@output_dir, 'finalized').touch()"],
}


@pytest.fixture
def files(tmp_path):
    (tmp_path / "metadata.json").write_text("{}")
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(CONFIG))
    return [str(tmp_path / "train.yaml")]


def errors(rate, epochs):
    """MSE of weight w against 2: each step makes w - 2 smaller by the factor 1 - 2 rate."""
    return [(2 * (1 - 2 * rate) ** epoch) ** 2 for epoch in range(1, epochs + 1)]


def train(trial, files, tmp_path, metric="val_mse", **overrides):
    return train_trial(trial, files, {"output_dir": str(tmp_path), **overrides}, metric)


def reported(study):
    return study.get_trials()[-1].intermediate_values


def test_every_epoch_is_reported_and_the_best_one_is_the_value(files, tmp_path):
    study = optuna.create_study()
    value = train(study.ask(), files, tmp_path)
    expected = errors(0.1, 4)
    assert list(reported(study)) == [1, 2, 3, 4]
    assert list(reported(study).values()) == pytest.approx(expected, rel=1e-5)
    assert value == pytest.approx(expected[-1], rel=1e-5)
    assert (tmp_path / "finalized").exists()


def test_overrides_reach_the_training_and_an_earlier_epoch_may_be_the_best(files, tmp_path):
    study = optuna.create_study()
    value = train(study.ask(), files, tmp_path, rate=1.1)  # each step overshoots by 1.2
    assert value == pytest.approx(errors(1.1, 1)[0], rel=1e-5)
    study = optuna.create_study(direction="maximize")
    value = train(study.ask(), files, tmp_path, rate=1.1)
    assert value == pytest.approx(errors(1.1, 4)[-1], rel=1e-5)


def test_only_validated_epochs_are_reported(files, tmp_path):
    study = optuna.create_study()
    train(study.ask(), files, tmp_path, interval=2)
    assert list(reported(study)) == [2, 4]
    with pytest.raises(InputError, match="no epoch was validated"):
        train(study.ask(), files, tmp_path, interval=9)


def test_a_poor_trial_is_stopped_at_the_epoch_that_the_pruner_names(files, tmp_path):
    pruner = optuna.pruners.ThresholdPruner(upper=1.0, n_warmup_steps=3)
    study = optuna.create_study(pruner=pruner)
    poor = study.ask()
    # 2.56, 1.64, 1.05: above 1, but before step 3 nothing is judged.
    with pytest.raises(optuna.TrialPruned, match="at epoch 3"):
        train(poor, files, tmp_path, max_epochs=20)
    assert list(reported(study)) == [1, 2, 3]
    assert (tmp_path / "finalized").exists()
    value = train(study.ask(), files, tmp_path, rate=0.2, max_epochs=5)
    assert value == pytest.approx(errors(0.2, 5)[-1], rel=1e-4)


def test_a_diverged_training_is_an_error_that_names_the_epoch(files, tmp_path):
    study = optuna.create_study()
    with pytest.raises(Exception, match="Failed to") as caught:
        train(study.ask(), files, tmp_path, rate=1e25)
    causes, link = [], caught.value
    while link is not None:
        causes.append(str(link))
        link = link.__cause__
    assert "val_mse is inf at epoch 1" in causes[-1]
    assert all(math.isfinite(value) for value in reported(study).values())


def test_a_network_that_predicts_nan_is_an_error_though_its_metric_is_0(files, tmp_path):
    initialize = ["$torch.nn.init.constant_(@network.weight, float('nan'))"]
    study = optuna.create_study()
    with pytest.raises(Exception, match="Failed to") as caught:
        train(study.ask(), files, tmp_path, initialize=initialize)
    assert "val_mse is nan at epoch 1" in str(caught.value.__cause__)
    assert not reported(study)


def test_a_metric_that_the_validation_lacks_is_named(files, tmp_path):
    with pytest.raises(Exception, match="Failed to") as caught:
        train(optuna.create_study().ask(), files, tmp_path, metric="val_psnr")
    assert "has no metric 'val_psnr': it has val_mse" in str(caught.value.__cause__)
