"""Three networks of a few weights, and a trainer of them."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from custom.engines.adversarial_trainer import AdversarialTrainer
from custom.handlers.instance_noise import InstanceNoise


@dataclass
class Players:
    """The networks and their optimizers."""

    network: nn.Module
    critic: nn.Module
    extractor: nn.Module
    optimizer: torch.optim.Optimizer
    critic_optimizer: torch.optim.Optimizer
    extractor_optimizer: torch.optim.Optimizer


def tiny_players(seed=0, dtype=torch.float32, optimizer=torch.optim.Adam, **settings: Any):
    """Make a generator that doubles the grid, a critic with a score map, an extractor."""
    torch.manual_seed(seed)
    generator = nn.Sequential(
        nn.Conv3d(1, 3, 3, padding=1), nn.LeakyReLU(0.2), nn.ConvTranspose3d(3, 1, 2, stride=2)
    )
    critic = nn.Sequential(
        nn.Conv3d(1, 3, 4, 2, 1), nn.InstanceNorm3d(3), nn.LeakyReLU(0.2), nn.Conv3d(3, 1, 1)
    )
    extractor = nn.Sequential(
        nn.Conv3d(1, 4, 3, 2, 1), nn.BatchNorm3d(4), nn.LeakyReLU(0.1), nn.Conv3d(4, 5, 1)
    )
    networks = [network.to(dtype) for network in (generator, critic, extractor)]
    settings = settings or {"lr": 0.01}
    return Players(*networks, *(optimizer(net.parameters(), **settings) for net in networks))


def pairs(number=3, batch=2, dtype=torch.float32):
    """Make batches of low and high resolution."""
    rng = torch.Generator().manual_seed(1)
    return [
        {
            "image": torch.rand(batch, 1, 3, 4, 5, generator=rng, dtype=dtype),
            "label": torch.rand(batch, 1, 6, 8, 10, generator=rng, dtype=dtype),
        }
        for _ in range(number)
    ]


def trainer_of(players, data, epochs=1, handlers=(), **settings: Any):
    """Make the trainer, with noise unless other is given."""
    settings.setdefault("instance_noise", InstanceNoise(iterations=10, seed=3))
    return AdversarialTrainer(
        device="cpu",
        max_epochs=epochs,
        train_data_loader=data,
        **vars(players),
        train_handlers=list(handlers),
        **settings,
    )
