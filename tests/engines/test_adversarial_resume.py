import operator

import torch
from ignite.metrics import MeanSquaredError
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator
from monai.handlers import ValidationHandler, from_engine
from tiny_players import pairs, tiny_players, trainer_of

from custom.handlers.checkpoint import BestMetric, CheckpointResumer, CheckpointWriter
from custom.handlers.epoch_seed import EpochSeed
from custom.handlers.gan_watchdogs import GanWatchdogs
from custom.handlers.instance_noise import InstanceNoise
from custom.handlers.weight_average import WeightAverage


def train(folder, epochs, resume=False):
    """Train as a bundle would, with everything that has a state in the checkpoint."""
    # A resumed training starts from other weights, which the checkpoint must replace.
    players = tiny_players(seed=9 if resume else 0)
    data = pairs(1, batch=6)[0]
    items = [{key: value[i] for key, value in data.items()} for i in range(6)]
    average = WeightAverage(players.network, decay=0.9)
    evaluator = SupervisedEvaluator(
        device="cpu",
        val_data_loader=DataLoader(Dataset(items), batch_size=2),
        network=average.network,
        key_val_metric={"val_mse": MeanSquaredError(from_engine(["pred", "label"]))},
        metric_cmp_fn=operator.lt,
    )
    seed, noise = EpochSeed(4), InstanceNoise(1.0, 0.2, iterations=9, seed=8)
    watchdogs = GanWatchdogs(folder / "last.pt")
    scaler = torch.amp.GradScaler("cuda", enabled=False)
    state = {
        "model": average.network,
        **vars(players),
        "weight_average": average,
        "instance_noise": noise,
        "watchdogs": watchdogs,
        "epoch_seed": seed,
        "scaler": scaler,
        "best_metric": BestMetric(evaluator),
    }
    handlers = [
        *([CheckpointResumer(folder / "last.pt", state)] if resume else []),
        seed,
        average,
        ValidationHandler(1, evaluator),
        watchdogs,
        CheckpointWriter(folder, state, evaluator, trusted=watchdogs.trusted),
    ]
    loader = DataLoader(Dataset(items), batch_size=2, shuffle=True)
    trainer = trainer_of(
        players, loader, epochs, handlers, instance_noise=noise, critic_steps=2, scaler=scaler
    )
    trainer.run()
    return torch.load(folder / "last.pt", weights_only=True), trainer.state.metrics


def assert_same(first, second, place="last.pt"):
    assert type(first) is type(second), place
    if isinstance(first, dict):
        assert first.keys() == second.keys(), place
        for key in first:
            assert_same(first[key], second[key], f"{place}: {key}")
    elif isinstance(first, list):
        assert len(first) == len(second), place
        for number, (a, b) in enumerate(zip(first, second, strict=True)):
            assert_same(a, b, f"{place}: {number}")
    elif isinstance(first, torch.Tensor):
        assert torch.equal(first, second), place
    else:
        assert first == second, place


def test_four_epochs_are_two_and_a_resume_and_two(tmp_path):
    whole, metrics = train(tmp_path / "whole", 4)
    half, _ = train(tmp_path / "parts", 2)
    parts, resumed = train(tmp_path / "parts", 4, resume=True)
    assert_same(whole, parts)
    assert metrics == resumed
    assert not torch.equal(half["network"]["0.weight"], whole["network"]["0.weight"])
    best = [torch.load(tmp_path / n / "model.pt", weights_only=True) for n in ("whole", "parts")]
    assert_same(*best)


def test_what_is_validated_and_saved_as_the_model_is_the_average(tmp_path):
    content, _ = train(tmp_path, 2)
    for name, value in content["model"].items():
        assert torch.equal(value, content["weight_average"][f"module.{name}"])
        assert not torch.equal(value, content["network"][name])
