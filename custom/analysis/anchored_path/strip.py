"""Follow one slice along the anchored path, out and back."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn

from custom.inferers.clean_estimate import CleanEstimate
from custom.networks.schedulers.anchored_path import AnchoredPathScheduler
from custom.networks.schedulers.residual_noise import ResidualNoise

__all__ = ["PathStrip", "path_strip"]

Array = NDArray[Any]


@dataclass(frozen=True)
class PathStrip:
    """One slice at some steps of the path, standardised.

    Args:
        steps: ``t``, from 0 to ``T``.
        forward: ``x_t`` of one chain from the reference to the scan.
        noise: Its random part, ``x_t - E[x_t]``.
        reverse: ``x_t`` of the deterministic reverse process from the scan, one step at a time.

    Shape:
        Each image ``(X, Y)``; one a step.
    """

    steps: list[int]
    forward: list[Array]
    noise: list[Array]
    reverse: list[Array]


def path_strip(
    scheduler: AnchoredPathScheduler,
    noise: ResidualNoise,
    network: nn.Module,
    pair: tuple[Tensor, Tensor],
    generator: Generator,
    columns: int = 6,
) -> PathStrip:
    """Simulate one chain, and restore the scan with all ``T`` steps.

    Args:
        scheduler: The path.
        noise: The noise.
        network: The trained network.
        pair: Clean and anchor, standardised, ``(1, 1, X, Y)``.
        generator: Source of the randomness.
        columns: Steps to keep, spread evenly.
    """
    steps = np.unique(np.linspace(0, scheduler.num_steps, columns).round().astype(int)).tolist()
    forward, random = _forward(scheduler, noise, pair, generator)
    reverse = _reverse(scheduler, network, pair[1])
    return PathStrip(steps, *([images[t] for t in steps] for images in (forward, random, reverse)))


def _forward(
    scheduler: AnchoredPathScheduler,
    noise: ResidualNoise,
    pair: tuple[Tensor, Tensor],
    generator: Generator,
) -> tuple[list[Array], list[Array]]:
    """Return ``x_t`` and its random part at every step of one chain."""
    clean, anchor = pair
    device = scheduler.profile.device
    clean, anchor = clean.to(device), anchor.to(device)
    offset = noise.draw_offset(clean.shape, generator)
    x, images, random = clean, [_plain(clean)], [np.zeros(clean.shape[2:])]
    for number in range(1, scheduler.num_steps + 1):
        step = torch.tensor([number], device=device)
        drawn = noise.draw(clean.shape, device, generator, offset)
        x = scheduler.step_forward(x, anchor - clean, drawn, step)
        mean, _ = scheduler.moments(clean, anchor, step)
        images.append(_plain(x))
        random.append(_plain(x - mean))
    return images, random


@torch.no_grad()
def _reverse(scheduler: AnchoredPathScheduler, network: nn.Module, anchor: Tensor) -> list[Array]:
    """Return ``x_t`` at every step of the deterministic reverse process, by ``t``."""
    device = next(network.parameters()).device
    path = copy.deepcopy(scheduler).to(device)
    estimate = CleanEstimate(path)
    x = anchor.to(device)
    images = [_plain(x)]
    for step in path.timesteps().to(device)[:, None]:
        x = path.step_back(x, estimate(x, network, step), step, step - 1)
        images.append(_plain(x))
    return images[::-1]


def _plain(image: Tensor) -> Array:
    """Return the slice as an array."""
    return image[0, 0].float().cpu().numpy()
