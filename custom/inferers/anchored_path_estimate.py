"""What the network says of the clean image from one place on the path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from monai.inferers import Inferer
from torch import Tensor

from custom.networks.schedulers.anchored_path import AnchoredPathScheduler

__all__ = ["AnchoredPathEstimate"]


class AnchoredPathEstimate(Inferer):
    r"""Estimate the clean image in one step, as training does.

    The network is called as ``network(x_t, position)`` with the position :math:`t / T`; the
    scheduler turns its prediction into :math:`\hat{x}_0`.

    Args:
        scheduler: The path and its parameterisation.

    Shape:
        ``inputs``, the estimate: ``(B, C, *spatial)``, standardised; ``step``: ``(B,)``, int64.

    Source:
        METHODS.md, study 1; Conejo Rupp et al. 2025, section 4.3.
    """

    def __init__(self, scheduler: AnchoredPathScheduler) -> None:
        self.scheduler = scheduler

    def __call__(
        self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any
    ) -> Tensor:
        """Return the estimate.

        Args:
            inputs: Images on the path, ``x_t``.
            network: Predicts from ``x_t`` and the position.
            args: The step of each image, and what else the network takes.
            kwargs: What else the network takes.
        """
        step, *others = args
        scheduler = self.scheduler.to(inputs.device)
        prediction = network(inputs, scheduler.positions(step), *others, **kwargs)
        return scheduler.estimate_clean(inputs, prediction, step)
