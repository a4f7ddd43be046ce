"""Instance noise on a critic's inputs, which decreases with each iteration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from torch import Tensor

from custom.setting_checks import check_not_negative, check_whole

__all__ = ["InstanceNoise"]


class InstanceNoise:
    r"""Add Gaussian noise whose standard deviation changes linearly from one value to another.

    .. math:: \sigma_i = \sigma_1 + (\sigma_e - \sigma_1) \min(1, (i - 1) / N)

    in iteration :math:`i = 1, 2, \dots` Each call draws anew, so that real and generated volumes
    get independent noise. The draws follow from seed, rank, iteration and their order within it: a
    resumed training draws what the uninterrupted one would have, and no other random number of the
    run changes. The deviation is a metric of each epoch, ``instance_noise_std``.

    Attached by :class:`custom.engines.adversarial_trainer.AdversarialTrainer`, or by listing it
    before the handlers that write metrics; twice is once.

    Args:
        start: :math:`\sigma_1`, in units of the volumes.
        end: :math:`\sigma_e`.
        iterations: :math:`N`, iterations after which the noise has its end value.
        seed: Seed of the draws.

    Raises:
        ValueError: If a deviation or the seed is negative, or ``iterations < 1``.

    Erratum:
        The text lets the *variance* fall linearly "from sigma = 1 to 0", once per epoch and once
        per iteration; the published code lowers the standard deviation once an epoch, never to 0,
        and draws once for both kinds. Ours: the deviation, per iteration, to its end value.

    Source:
        docs/methods/gan3d_sr_denoise.md, "Instance noise".
    """

    def __init__(
        self, start: float = 1.0, end: float = 0.0, iterations: int = 60000, seed: int = 0
    ) -> None:
        check_not_negative("start", start)
        check_not_negative("end", end)
        check_whole("iterations", iterations, 1)
        check_whole("seed", seed, 0)
        self.start, self.end = float(start), float(end)
        self.iterations, self.seed = int(iterations), int(seed)
        self.iteration, self.rank = 1, 0
        self._generator: torch.Generator | None = None

    @property
    def std(self) -> float:
        """Standard deviation of this iteration."""
        passed = min(1.0, (self.iteration - 1) / self.iterations)
        return self.start + (self.end - self.start) * passed

    def __call__(self, volume: Tensor) -> Tensor:
        """Return the volume with fresh noise; the volume itself once the deviation is 0."""
        std = self.std
        if std == 0:
            return volume
        if self._generator is None or self._generator.device != volume.device:
            self._generator = torch.Generator(volume.device)
            self._generator.manual_seed(self._entropy())
        noise = torch.randn(
            volume.shape, generator=self._generator, dtype=volume.dtype, device=volume.device
        )
        return torch.add(volume, noise, alpha=std)

    def attach(self, engine: Engine) -> None:
        """Follow the iterations of a trainer."""
        if not engine.has_event_handler(self._begin, Events.ITERATION_STARTED):
            engine.add_event_handler(Events.ITERATION_STARTED, self._begin)
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._tell)

    def _begin(self, engine: Engine) -> None:
        """Set the number of this iteration and its random generator."""
        self.iteration = engine.state.iteration
        self.rank = int(getattr(engine.state, "rank", 0))
        if self._generator is not None:
            self._generator.manual_seed(self._entropy())

    def _entropy(self) -> int:
        """Return the seed of this iteration's draws."""
        sequence = np.random.SeedSequence([self.seed, self.rank, self.iteration])
        return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))

    def _tell(self, engine: Engine) -> None:
        """Add the deviation to the metrics."""
        engine.state.metrics["instance_noise_std"] = self.std

    def state_dict(self) -> dict[str, Any]:
        """Return the schedule, the seed and the iteration."""
        names = ("start", "end", "iterations", "seed", "iteration")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the schedule and the seed of the training that is resumed."""
        for name in self.state_dict():
            setattr(self, name, state[name])
        self._generator = None
