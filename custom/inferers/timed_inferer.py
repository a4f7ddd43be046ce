"""Measure how long restoring takes."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import torch
from monai.inferers import Inferer
from torch import Tensor

__all__ = ["TimedInferer"]


class TimedInferer(Inferer):
    """Restore with another inferer, and keep the seconds that it took.

    The first stack is restored twice, the first time without the clock, so that what a device
    prepares only once does not count (one slice would not do: that costs the same again for a
    batch of another size). The random state is put back, so what is restored is what it is
    without a clock.

    Args:
        inferer: What restores.

    Shape:
        Stacks with the slices last, ``(B, C, X, Y, S)``, or slices ``(B, C, X, Y)``.
    """

    seconds: float
    """Of the last call; NaN before the first."""

    def __init__(self, inferer: Inferer) -> None:
        super().__init__()
        self.inferer = inferer
        self.seconds = float("nan")
        self._warm = False

    def __call__(
        self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any
    ) -> Any:
        """Restore, with the clock running."""
        if not self._warm:
            self._warm_up(inputs, network, *args, **kwargs)
        _wait_for(inputs.device)
        start = perf_counter()
        restored = self.inferer(inputs, network, *args, **kwargs)
        _wait_for(inputs.device)
        self.seconds = perf_counter() - start
        return restored

    def _warm_up(
        self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any
    ) -> None:
        """Restore without the clock, and put the random state back."""
        with torch.random.fork_rng(devices=[inputs.device] if inputs.is_cuda else []):
            self.inferer(inputs, network, *args, **kwargs)
        self._warm = True


def _wait_for(device: torch.device) -> None:
    """Let an accelerator finish what it was given."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
