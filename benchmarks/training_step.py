"""A training step of the anchored path model against one of the plain U-Net of equal size.

Both networks are those of the configs. A step is everything from the batch on the device to the
updated weights; for the anchored path this includes drawing the image on the path from a full
residual bank. The two take turns, so that a busy machine slows both alike.

Run: ``python -m benchmarks.training_step``
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from torch import Tensor, nn

from benchmarks.measure import REPOSITORY, Timing, save
from custom.data.datasets.residual_bank import ResidualBank
from custom.engines.diffusion_batch import AnchoredPathPrepareBatch
from custom.inferers.clean_estimate import CleanEstimate
from custom.networks.schedulers.residual_noise import ResidualNoise

CONFIGS = REPOSITORY / "bundles" / "micro_mri_denoise" / "configs"
WARM_UP, STEPS = 3, 25


@dataclass
class FullBank:
    """As many residuals as the overlay's bank may hold; random, which costs the same."""

    residuals: Tensor
    rms: float = 1.0


def run(steps: int = STEPS) -> dict[str, Any]:
    """Time the two steps in turn and compare."""
    seconds: dict[str, list[float]] = {"plain": [], "anchored_path": []}
    contenders = {"plain": plain_step(), "anchored_path": anchored_path_step()}
    for number in range(WARM_UP + steps):
        for name, step in contenders.items():
            spent = timed(step)
            if number >= WARM_UP:
                seconds[name].append(spent)
    # Of neighbours, since the machine's speed changes over the run.
    ratios = [
        after / before
        for before, after in zip(seconds["plain"], seconds["anchored_path"], strict=True)
    ]
    figures = {
        "batch": list(batch()["image"].shape),
        "steps": steps,
        **{name: Timing.of(values) for name, values in seconds.items()},
        "anchored_path_over_plain": statistics.median(ratios),
    }
    save("training_step", figures)
    return figures


def plain_step() -> Callable[[], None]:
    """Return a step of ``train.yaml``."""
    config = settings()
    network, update = prepared(config.get_parsed_content("network_def"))
    data = batch()

    def step() -> None:
        update(nn.functional.mse_loss(network(data["image"]), data["label"]))

    return step


def anchored_path_step() -> Callable[[], None]:
    """Return a step of ``train.yaml`` with ``apddm.yaml``."""
    config = settings("apddm.yaml")
    network, update = prepared(config.get_parsed_content("network_def"))
    scheduler = config.get_parsed_content("scheduler")
    with tempfile.TemporaryDirectory() as folder:
        size = config["residual_size"]
        bank = ResidualBank(Path(folder) / "a", size, config["residuals_megabytes"])
    residuals = FullBank(torch.randn(bank.capacity, size, size))
    prepare = AnchoredPathPrepareBatch(scheduler, ResidualNoise(residuals))
    estimate, data = CleanEstimate(scheduler), batch()

    def step() -> None:
        x_t, clean, given, _ = prepare(data)
        update(nn.functional.mse_loss(estimate(x_t, network, *given), clean))

    return step


def settings(*overlays: str) -> ConfigParser:
    """Read the training config."""
    config = ConfigParser()
    config.read_config([str(CONFIGS / name) for name in ("train.yaml", *overlays)])
    return config


def batch() -> dict[str, Tensor]:
    """Return a batch of crops as the config's, with the moments that the overlay stores."""
    config = settings()
    shape = (config["batch_size"], 1, *config["crop_size"])
    rng = torch.Generator().manual_seed(0)
    return {
        "image": torch.rand(shape, generator=rng),
        "label": torch.rand(shape, generator=rng),
        "image_moments": torch.tensor([0.5, 0.3]).expand(shape[0], 2),
    }


def prepared(network: nn.Module) -> tuple[nn.Module, Callable[[Tensor], None]]:
    """Return a network as it is trained, and what an optimiser does with a loss."""
    network = network.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.Adam(network.parameters())

    def update(loss: Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return network, update


def timed(step: Callable[[], None]) -> float:
    """Time one step."""
    begin = time.process_time()
    step()
    return time.process_time() - begin


if __name__ == "__main__":
    for key, value in run().items():
        print(f"{key:26s} {value}")
