"""Seed each epoch, so that its random numbers do not depend on what ran before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from ignite.engine import Events
from monai.data.utils import set_rnd
from monai.engines import Trainer
from monai.utils import set_determinism

__all__ = ["EpochSeed"]


class EpochSeed:
    """Seed all random numbers at the start of an epoch from the seed, the epoch and the rank.

    An epoch then draws the same order of slices, crops and flips whether or not the training was
    interrupted and resumed before it. Objects that depend on the epoch, such as the weight of a
    loss or the random numbers of a data set, get its number, from 1: ``set_epoch`` of the training
    set and of the trainer's loss is called if they have it.

    Args:
        seed: Seed of the training, 0 or more. A resumed training keeps its first seed, unless
            another one is accepted (:class:`custom.handlers.checkpoint.CheckpointResumer`).
        dataset: Training set whose random transforms are seeded too, when they run in this
            process. Worker processes are seeded by torch, from its own seed.

    Raises:
        ValueError: If ``seed`` is negative.
    """

    def __init__(self, seed: int, dataset: Any = None) -> None:
        if seed < 0:
            raise ValueError(f"seed must be 0 or more, got {seed}")
        self.seed = seed
        self.dataset = dataset

    def attach(self, engine: Trainer) -> None:
        """Act at the start of each epoch."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Trainer) -> None:
        """Seed this epoch."""
        entropy = [self.seed, engine.state.epoch, engine.state.rank]
        # Hashed: a sum would give epoch 2 of seed 0 the numbers of epoch 1 of seed 1.
        value = int(np.random.SeedSequence(entropy).generate_state(1)[0])
        set_determinism(seed=value)
        # MONAI's transforms draw from states of their own, which global seeds do not reach.
        if self.dataset is not None:
            set_rnd(self.dataset, seed=value)
        parts: tuple[Any, ...] = (self.dataset, getattr(engine, "loss_function", None))
        for part in parts:
            if hasattr(part, "set_epoch"):
                part.set_epoch(engine.state.epoch)

    def state_dict(self) -> dict[str, int]:
        """Return the seed."""
        return {"seed": self.seed}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Restore the seed of the training that is resumed."""
        self.seed = int(state["seed"])
