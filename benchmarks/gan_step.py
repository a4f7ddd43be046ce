"""A step of the three-player trainer against three networks that are stepped separately.

Separately: each player makes the forward passes of its loss itself and goes back through all of
them, as three independent training loops do; ``own_gradients`` is the same with gradients of the
player's own weights only. All compute the same simultaneous update, with noise on the critic's
inputs. They take turns, and CPU seconds are counted, so that a busy machine slows none of them.

Run: ``OMP_NUM_THREADS=2 python -m benchmarks.gan_step``
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import torch
from ignite.engine import Events
from torch import Tensor, nn

from benchmarks.measure import Timing, save
from custom.engines.adversarial_trainer import AdversarialTrainer
from custom.handlers.instance_noise import InstanceNoise
from custom.losses.relativistic_loss import RelativisticAverageLoss
from custom.networks.nets.feature_extractor import FeatureExtractor
from custom.networks.nets.residual_critic import ResidualCritic
from custom.networks.nets.residual_dense_generator import ResidualDenseGenerator

ROUNDS, STEPS, WARM_UP = 5, 2, 1
SIZE, BATCH, WIDTH = 16, 1, 0.25  # low-resolution voxels; share of the published channels
PIXEL_WEIGHT, ADVERSARIAL_WEIGHT, NOISE = 0.01, 0.005, 0.5


@dataclass
class Players:
    """The three networks."""

    network: nn.Module
    critic: nn.Module
    extractor: nn.Module

    @classmethod
    def make(cls, width: float) -> Players:
        """Make them with a share of the published channels."""
        torch.manual_seed(0)
        return cls(
            ResidualDenseGenerator(channels=round(64 * width), growth=round(32 * width)),
            ResidualCritic(features=round(64 * width)),
            FeatureExtractor([round(channels * width) for channels in (64, 128, 256, 512)]),
        )

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Make an optimizer for each."""
        made = {f.name: getattr(self, f.name).parameters() for f in fields(self)}
        return {name: torch.optim.Adam(weights, lr=1e-4) for name, weights in made.items()}


def run(
    rounds: int = ROUNDS,
    steps: int = STEPS,
    size: int = SIZE,
    batch: int = BATCH,
    width: float = WIDTH,
) -> dict[str, Any]:
    """Time them in turn and compare.

    Args:
        rounds: Turns of each.
        steps: Steps a turn.
        size: Edge of the low-resolution patches, in voxels.
        batch: Patches a step.
        width: Share of the published channels.
    """
    rng = torch.Generator().manual_seed(0)
    image = torch.rand(batch, 1, *3 * (size,), generator=rng)
    label = torch.rand(batch, 1, *3 * (2 * size,), generator=rng)
    contenders: dict[str, Callable[[], float]] = {
        "trainer": lambda: by_trainer(Players.make(width), image, label, steps),
        "separate": lambda: by_separate(Players.make(width), image, label, steps, plain_backward),
        "own_gradients": lambda: by_separate(
            Players.make(width), image, label, steps, own_backward
        ),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, step in contenders.items():
            seconds[name].append(step())
    figures: dict[str, Any] = {"patch": list(image.shape), "width": width, "steps": steps}
    figures |= {name: Timing.of(values) for name, values in seconds.items()}
    for name in ("separate", "own_gradients"):
        ratios = [a / b for a, b in zip(seconds[name], seconds["trainer"], strict=True)]
        figures[f"{name}_over_trainer"] = statistics.median(ratios)
    save("gan_step", figures)
    return figures


def by_trainer(players: Players, image: Tensor, label: Tensor, steps: int) -> float:
    """Return the CPU seconds of a step of the trainer."""
    optimizers = players.optimizers()
    trainer = AdversarialTrainer(
        device="cpu",
        max_epochs=1,
        train_data_loader=[{"image": image, "label": label}] * (WARM_UP + steps + 1),
        network=players.network,
        optimizer=optimizers["network"],
        critic=players.critic,
        critic_optimizer=optimizers["critic"],
        extractor=players.extractor,
        extractor_optimizer=optimizers["extractor"],
        pixel_weight=PIXEL_WEIGHT,
        adversarial_weight=ADVERSARIAL_WEIGHT,
        instance_noise=InstanceNoise(NOISE, NOISE),
    )
    marks: list[float] = []

    def mark() -> None:
        marks.append(time.process_time())
        if len(marks) > WARM_UP + steps:
            trainer.terminate()

    trainer.add_event_handler(Events.ITERATION_STARTED, mark)
    trainer.run()
    return (marks[WARM_UP + steps] - marks[WARM_UP]) / steps


def by_separate(
    players: Players,
    image: Tensor,
    label: Tensor,
    steps: int,
    backward: Callable[[Tensor, nn.Module], None],
) -> float:
    """Return the CPU seconds of three separate steps."""
    optimizers = players.optimizers()
    losses: dict[str, Callable[[], Tensor]] = {
        "network": lambda: generator_loss(players, image, label),
        "critic": lambda: critic_loss(players, image, label),
        "extractor": lambda: extractor_loss(players, image, label),
    }
    begin = 0.0
    for number in range(WARM_UP + steps):
        if number == WARM_UP:
            begin = time.process_time()
        kept = {}
        for name, loss in losses.items():
            # Of other players' losses.
            optimizers[name].zero_grad()
            network = getattr(players, name)
            backward(loss(), network)
            kept[name] = [weight.grad for weight in network.parameters()]
        for name, optimizer in optimizers.items():
            pairs = zip(getattr(players, name).parameters(), kept[name], strict=True)
            for weight, gradient in pairs:
                weight.grad = gradient
            optimizer.step()
    return (time.process_time() - begin) / steps


def plain_backward(loss: Tensor, _: nn.Module) -> None:
    """Go back through everything."""
    torch.autograd.backward(loss)


def own_backward(loss: Tensor, network: nn.Module) -> None:
    """Compute the gradient of the player's own weights."""
    torch.autograd.backward(loss, inputs=list(network.parameters()))


def noisy(volume: Tensor) -> Tensor:
    """Add the noise that the trainer adds."""
    return volume + NOISE * torch.randn(volume.shape)


def generator_loss(players: Players, image: Tensor, label: Tensor) -> Tensor:
    """Make the generator's own passes."""
    fake = players.network(image)
    scores = players.critic(noisy(label)), players.critic(noisy(fake))
    adversarial = RelativisticAverageLoss().generator(*scores)
    features: Tensor = (players.extractor(fake) - players.extractor(label)).abs().mean()
    pixels = (fake - label).abs().mean()
    total: Tensor = features + PIXEL_WEIGHT * pixels + ADVERSARIAL_WEIGHT * adversarial
    return total


def critic_loss(players: Players, image: Tensor, label: Tensor) -> Tensor:
    """Make the critic's own passes."""
    with torch.no_grad():
        fake = players.network(image)
    return RelativisticAverageLoss().critic(
        players.critic(noisy(label)), players.critic(noisy(fake))
    )


def extractor_loss(players: Players, image: Tensor, label: Tensor) -> Tensor:
    """Make the extractor's own passes."""
    with torch.no_grad():
        fake = players.network(image)
    loss: Tensor = (players.extractor(fake) - players.extractor(label)).abs().mean()
    return loss


if __name__ == "__main__":
    for key, value in run().items():
        print(f"{key:28s} {value}")
