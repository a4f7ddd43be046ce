"""Average the weights of a network over its training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ignite.engine import Engine, Events
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

__all__ = ["WeightAverage"]


class WeightAverage:
    r"""Exponential moving average of a network's weights, updated each iteration.

    .. math:: \bar w \leftarrow d_n \bar w + (1 - d_n) w, \qquad
        d_n = \min\left(d, \frac{1 + n}{10 + n}\right)

    after :math:`n` earlier updates; the first takes the weights as they are. With the growing
    :math:`d_n` the average spans a fixed share of a short history, and the weights of the first
    iterations do not stay in it. Buffers are copied, not averaged.

    Validate and save :attr:`network`, which has the class and the names of the network itself.
    Create it after the network is on its device.

    Args:
        network: The network that is trained.
        decay: :math:`d`, in 0..1; it spans about ``1 / (1 - d)`` iterations.

    Raises:
        ValueError: If ``decay`` is not in 0..1, 1 excluded.

    Source:
        torch.optim.swa_utils, of which this is a handler; the growing decay is that of
        TensorFlow's ``ExponentialMovingAverage``.
    """

    def __init__(self, network: nn.Module, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be in 0..1, less than 1, got {decay}")
        self.decay = decay
        self.trained = network
        self.average = AveragedModel(network, multi_avg_fn=self._update)
        self.average.requires_grad_(False)
        self.average.eval()

    @property
    def network(self) -> nn.Module:
        """The averaged network."""
        module: nn.Module = self.average.module
        return module

    def attach(self, engine: Engine) -> None:
        """Update after each iteration."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, _: Engine) -> None:
        """Add the current weights to the average."""
        self.average.update_parameters(self.trained)

    def _update(self, averages: Any, weights: Any, count: Tensor | int) -> None:
        """Update with the decay that belongs to this number of earlier updates."""
        number = int(count)
        decay = min(self.decay, (1 + number) / (10 + number))
        update: Any = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        update(averages, weights, count)

    def state_dict(self) -> dict[str, Any]:
        """Return the averaged weights and the number of updates."""
        return dict(self.average.state_dict())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put them back."""
        self.average.load_state_dict(state)
