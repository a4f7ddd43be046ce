"""Batches of simulated signals for a trainer, made as whole tensors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Generator, Tensor
from torch.utils.data import IterableDataset

from custom.errors import InputError
from custom.physics.diffusion.noise import PublishedLevels
from custom.physics.diffusion.priors import TensorLattice
from custom.physics.diffusion.simulation import SignalSimulation
from custom.physics.diffusion.tensor import tensor_signal
from custom.setting_checks import check_whole

__all__ = ["HeldOutSignals", "LatticeSignals", "LatticeSplit", "SimulatedSignals"]

Batch = dict[str, Tensor]
# Batches drawn at once: they share the cost of a call and still fit the processor's cache.
_AT_ONCE = 8
# Offsets that give each use different random numbers for the same seed.
_TRAINING, _SPLIT, _HELD_OUT = 100, 101, 102


class SimulatedSignals(IterableDataset[Batch]):
    """New signals for every batch: no signal is used twice.

    Args:
        simulation: The simulation that signals are drawn from.
        batch_size: Signals a batch.
        steps: Batches an epoch.
        seed: Seed; epoch and rank are added to it, so that a resumed training draws what an
            uninterrupted one would have drawn.
        device: Where the signals are made.
        rank: Number of this process, where several train together.

    Raises:
        ValueError: If a number is out of its range.
    """

    def __init__(
        self,
        simulation: SignalSimulation,
        batch_size: int,
        steps: int,
        seed: int = 0,
        device: torch.device | str = "cpu",
        rank: int = 0,
    ) -> None:
        check_whole("batch_size", batch_size, 1)
        check_whole("steps", steps, 1)
        check_whole("seed", seed, 0)
        self.simulation = simulation
        self.batch_size, self.steps = batch_size, steps
        self.seed, self.rank, self.epoch = seed, rank, 0
        self.device = torch.device(device)

    def __len__(self) -> int:
        return self.steps

    def set_epoch(self, epoch: int) -> None:
        """Set the number of the next epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Batch]:
        """Draw the batches of the epoch."""
        generator = _generator(self.device, _TRAINING, self.seed, self.epoch, self.rank)
        for first in range(0, self.steps, _AT_ONCE):
            batches = min(_AT_ONCE, self.steps - first)
            drawn = self.simulation.draw(batches * self.batch_size, generator)
            parts = {key: torch.split(value, self.batch_size) for key, value in drawn.items()}
            for index in range(batches):
                yield {key: value[index] for key, value in parts.items()}


class LatticeSplit:
    """The paper's tensors, split into a training and a test part.

    The paper splits its noisy signals, so that one tensor can be in both parts; here a tensor is in
    one.

    Args:
        simulation: Protocol, noise and scale; its prior is not used.
        lattice: The tensors.
        test_share: Share of the tensors to test on.
        seed: Seed of the split.

    Raises:
        InputError: If ``test_share`` is not between 0 and 1.

    Source:
        docs/methods/dwi_vae.md, "Simulation": 80 to 20.
    """

    def __init__(
        self,
        simulation: SignalSimulation,
        lattice: TensorLattice,
        test_share: float = 0.2,
        seed: int = 0,
    ) -> None:
        if not 0 < test_share < 1:
            raise InputError(f"test_share must be between 0 and 1, got {test_share}")
        self.simulation = simulation
        tensors = lattice.tensors(simulation.b_rows)
        order = torch.randperm(len(tensors), generator=_generator("cpu", seed, _SPLIT))
        first = max(1, round(test_share * len(tensors)))
        self.test, self.training = tensors[order[:first]], tensors[order[first:]]


class LatticeSignals(IterableDataset[Batch]):
    """The paper's training set: every tensor at every noise level once an epoch, shuffled.

    An epoch has as many passes as there are levels. In each, every tensor occurs once, in a new
    order and at a level that it has not had in this epoch; the noise is new each time.

    Args:
        split: The tensors.
        levels: The noise levels.
        batch_size: Signals a batch; an incomplete batch at the end of a pass is dropped.
        seed: Seed; epoch and rank are added to it.
        device: Where the signals are made.
        rank: Number of this process, where several train together.

    Raises:
        InputError: If there are fewer tensors than a batch holds.
    """

    def __init__(
        self,
        split: LatticeSplit,
        levels: PublishedLevels,
        batch_size: int,
        seed: int = 0,
        device: torch.device | str = "cpu",
        rank: int = 0,
    ) -> None:
        check_whole("batch_size", batch_size, 1)
        check_whole("seed", seed, 0)
        self.device = torch.device(device)
        self.simulation = split.simulation
        self.tensors = split.training.to(self.device)
        if len(self.tensors) < batch_size:
            raise InputError(f"batch_size must be at most {len(self.tensors)}, got {batch_size}")
        self.b_rows = self.simulation.b_rows.to(self.device)
        self.levels = levels.values.to(self.device)
        self.batch_size = batch_size
        self.seed, self.rank, self.epoch = seed, rank, 0

    def __len__(self) -> int:
        return len(self.tensors) // self.batch_size * len(self.levels)

    def set_epoch(self, epoch: int) -> None:
        """Set the number of the next epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of the epoch."""
        generator = _generator(self.device, _TRAINING, self.seed, self.epoch, self.rank)
        count, levels = len(self.tensors), len(self.levels)
        start = torch.randint(levels, (count,), generator=generator, device=self.device)
        for number in range(levels):
            order = torch.randperm(count, generator=generator, device=self.device)
            # Each tensor starts at a level of its own, so that the levels mix in every batch.
            sigma = self.levels[(start + number) % levels].unsqueeze(1)
            for index in torch.split(order, self.batch_size):
                if len(index) < self.batch_size:
                    continue
                # Gather tensors and compute signals: a table of signals would not fit the cache.
                tensors = self.tensors[index]
                signal = tensor_signal(tensors, self.b_rows)
                yield self.simulation.add_noise(signal, tensors, sigma[index], generator)


class HeldOutSignals(IterableDataset[Batch]):
    """The same signals every time, for measurements.

    Args:
        simulation: The simulation that signals are drawn from.
        count: Number of signals.
        split: If given, tensors are those of its test part, without replacement if there are
            enough.
        batch_size: Signals a batch.
        seed: Seed; the signals differ from those of a training with the same seed.
        device: Where the signals are made.
    """

    def __init__(
        self,
        simulation: SignalSimulation,
        count: int,
        split: LatticeSplit | None = None,
        batch_size: int = 4096,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        check_whole("count", count, 1)
        # On the CPU: the same signals whatever the device.
        generator = _generator("cpu", seed, _HELD_OUT)
        drawn = (
            simulation.draw(count, generator)
            if split is None
            else _of_split(simulation, split.test, count, generator)
        )
        self.parts = {
            key: torch.split(value.to(device), batch_size) for key, value in drawn.items()
        }

    def __len__(self) -> int:
        return len(self.parts["image"])

    def __iter__(self) -> Iterator[Batch]:
        """Give the batches."""
        for index in range(len(self)):
            yield {key: value[index] for key, value in self.parts.items()}


def _of_split(
    simulation: SignalSimulation, tensors: Tensor, count: int, generator: Generator
) -> Batch:
    """Make noisy signals of given tensors."""
    # Whole shuffles of the set: no tensor comes twice before all came once.
    rounds = -(-count // len(tensors))
    order = torch.cat([torch.randperm(len(tensors), generator=generator) for _ in range(rounds)])
    chosen = tensors[order[:count]]
    signal = tensor_signal(chosen, simulation.b_rows)
    return simulation.add_noise(signal, chosen, simulation.levels.draw(count, generator), generator)


def _generator(device: Any, *entropy: int) -> Generator:
    """Return a generator whose numbers depend on all of the given ones."""
    import numpy as np

    state = int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])
    return torch.Generator(device=device).manual_seed(state % 2**63)
