import pytest
import torch
from ignite.engine import Events

from custom.errors import InputError
from custom.handlers.nan_guard import NanGuard


def poisoned(value):
    image = torch.ones(1, 1, 4, 4)
    good = {"image": image, "label": image}
    return [good, {"image": image * value, "label": image}, good]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_ends_the_run_before_the_network_changes(toy, tmp_path, value):
    training = toy(max_epochs=1, data=poisoned(value))
    training.attach(NanGuard(training.evaluator, tmp_path / "last.pt"))
    with pytest.raises(InputError, match=r"epoch 1, iteration 2.*nothing was saved") as caught:
        training.run()
    assert "\n" not in str(caught.value)
    assert "learning_rate (now 0.1)" in str(caught.value)
    assert all(torch.isfinite(weight).all() for weight in training.network.parameters())


def test_a_validation_that_is_no_number_names_the_last_good_state(toy, tmp_path):
    (tmp_path / "last.pt").touch()
    training = toy([1.0, float("nan"), 1.0])
    training.attach(NanGuard(training.evaluator, tmp_path / "last.pt"))
    with pytest.raises(InputError, match=r"val_mse is nan at epoch 2.*last\.pt.*--resume True"):
        training.run()


def test_a_sound_training_runs_through(toy, tmp_path):
    training = toy([1.0, 1.0])
    training.attach(NanGuard(training.evaluator, tmp_path / "last.pt"))
    assert training.run() == 2


def test_predictions_that_are_no_numbers_count_though_the_metric_does_not_see_them(toy, tmp_path):
    training = toy([0.5, 0.0])
    training.attach(NanGuard(training.evaluator, tmp_path / "last.pt"))

    def break_network(engine):
        if engine.state.epoch == 2:
            torch.nn.init.constant_(training.network.bias, float("nan"))

    training.evaluator.add_event_handler(Events.STARTED, lambda _: break_network(training.trainer))
    with pytest.raises(InputError, match="val_mse is nan at epoch 2"):
        training.run()
