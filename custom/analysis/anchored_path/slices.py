"""Slices on which an anchored path model is examined, and their way along the path."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn

from custom.data.datasets.exclusions import read_exclusions
from custom.errors import InputError
from custom.inferers.clean_estimate import CleanEstimate
from custom.networks.schedulers.anchored_path import AnchoredPathScheduler
from custom.networks.schedulers.residual_noise import ResidualNoise
from custom.physics.image_moments import MomentsForm, image_moments, standardise

__all__ = ["PairedSlice", "PathStrip", "choose_slices", "path_strip", "tissue_box"]

Array = NDArray[Any]


@dataclass(frozen=True)
class PairedSlice:
    """A fast slice on the fine grid and its reference, in units of the fast slice's scale.

    Args:
        scan: The scan's name.
        index: The slice in it, from 0.
        image: Fast slice.
        label: Reference.
        data_range: ``max - min`` of the scan's kept reference slices as acquired, in the units of
            this slice: the range that the evaluation takes.
        pixel_mm: Size of a pixel along ``X`` and ``Y``.

    Shape:
        ``image``, ``label``: ``(1, 1, X, Y)``.
    """

    scan: str
    index: int
    image: Tensor
    label: Tensor
    data_range: float
    pixel_mm: tuple[float, float]

    def standardised(self, form: MomentsForm = "tissue") -> tuple[Tensor, Tensor]:
        """Return reference and fast slice, both by the moments of the fast slice.

        Args:
            form: The divisor, as in :func:`custom.physics.image_moments.image_moments`.
        """
        # Printed: each by its own. Only those of the fast slice are known when one is restored.
        moments = image_moments(self.image[0], form)[None].to(self.image)
        return standardise(self.label, moments), standardise(self.image, moments)


def choose_slices(
    dataset: Sequence[Mapping[str, Any]],
    number: int,
) -> list[PairedSlice]:
    """Take slices spread evenly over the scans, and within a scan over its kept slices.

    Args:
        dataset: Whole scans after preprocessing: ``image`` and ``label`` ``(1, X, Y, S)`` in units
            of the fast slices' scales, and these, ``(S,)``, under ``image_scale``. Only the scans
            that are needed are read.
        number: Slices to take, at least 1.

    Raises:
        InputError: If no slice is left.
    """
    places = Counter(np.linspace(0, len(dataset) - 1, number).round().astype(int).tolist())
    chosen: list[PairedSlice] = []
    for place, count in places.items():
        data = dataset[place]
        bad = read_exclusions(data.get("exclusions")).get(str(data["scan"]), set())
        kept = [index for index in range(data["label"].shape[-1]) if index not in bad]
        middles = [kept[(2 * i + 1) * len(kept) // (2 * count)] for i in range(count) if kept]
        chosen += [_slice(data, index, kept) for index in dict.fromkeys(middles)]
    if not chosen:
        raise InputError("no slice is left to examine: the exclusion list names all of them")
    return chosen


def _slice(data: Mapping[str, Any], index: int, kept: list[int]) -> PairedSlice:
    """Cut one slice out of a scan."""
    image, label, means = (
        torch.as_tensor(data[key]).as_subclass(Tensor).detach().float().cpu()
        for key in ("image", "label", "image_scale")
    )
    acquired = (label * means)[..., kept]
    affine = torch.as_tensor(getattr(data["label"], "affine", torch.eye(4))).double()
    width, height = torch.linalg.norm(affine[:3, :2], dim=0).tolist()
    return PairedSlice(
        scan=str(data["scan"]),
        index=index,
        image=image[None, ..., index],
        label=label[None, ..., index],
        data_range=float((acquired.max() - acquired.min()) / means[index]),
        pixel_mm=(width, height),
    )


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
        # One window of the bank for all links of a chain, as in training.
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
    # A copy: the evaluator's scheduler stays on its own device.
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


def tissue_box(tissue: NDArray[Any]) -> tuple[slice, slice]:
    """Return the part of a slice ``(X, Y)`` that holds its tissue, with a little air around."""
    box = []
    for found, length in zip(np.nonzero(tissue), tissue.shape, strict=True):
        # Percentiles, since a few bright voxels of noise would open the box to the whole slice.
        first, last = np.percentile(found, (0.5, 99.5)) if found.size else (0, length)
        margin = 0.1 * (last - first) + 2
        box.append(slice(max(0, int(first - margin)), min(length, int(last + margin) + 1)))
    return box[0], box[1]
