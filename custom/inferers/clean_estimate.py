"""Estimate of the clean image from one step of a diffusion process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, cast

import torch
from monai.inferers import Inferer
from torch import Tensor, nn

__all__ = ["CleanEstimate", "DiffusionProcess", "on_device"]


class DiffusionProcess(Protocol):
    r"""Interface of a diffusion process; training and sampling are the same for all processes.

    .. math:: x_t = c_t x_0 + a_t y + s_t e, \qquad t = 0 \ldots T

    with the clean image ``x_0``, the degraded one ``y`` (the anchor; ``a = 0`` where the process
    ignores it) and noise ``e`` of unit variance. A process that is a module is moved to the
    device of the images.

    Shape:
        Images, predictions, noise: ``(B, C, *spatial)``. Steps: ``(B,)``, int64.
    """

    num_steps: int  # T

    def timesteps(self, num_inference_steps: int | None = None) -> Tensor:
        """Return the steps at which a reverse pass calls the network, descending, without 0."""
        ...

    def moments(self, clean: Tensor, anchor: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean and the standard deviation of ``x_t``."""
        ...

    def estimate_clean(
        self, x_t: Tensor, prediction: Tensor, step: Tensor, anchor: Tensor | None = None
    ) -> Tensor:
        """Return the estimate of the clean image from the network's prediction."""
        ...

    def step_back(
        self,
        x_t: Tensor,
        clean: Tensor,
        step: Tensor,
        to_step: Tensor,
        noise: Tensor | None = None,
        anchor: Tensor | None = None,
    ) -> Tensor:
        """Go from ``t`` to ``u < t``; deterministic unless noise of unit variance is given."""
        ...


class CleanEstimate(Inferer):
    r"""Estimate the clean image in one step, as training does.

    The network is called as ``network(x_t, position)`` with the position :math:`t / T`; the
    process turns its prediction into :math:`\hat{x}_0`.

    Args:
        process: The diffusion process.
        conditioned: Whether the network sees the anchor as further channels, after ``x_t``.

    Shape:
        ``inputs``, the estimate: ``(B, C, *spatial)``; ``step``: ``(B,)``, int64; ``anchor``:
        ``(B, A, *spatial)``.
    """

    def __init__(self, process: DiffusionProcess, conditioned: bool = False) -> None:
        self.process = process
        self.conditioned = conditioned

    def __call__(
        self,
        inputs: Tensor,
        network: Callable[..., Tensor],
        *args: Any,
        anchor: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """Return the estimate; ``args`` are the step of each image, then the network's own.

        Raises:
            ValueError: If ``anchor`` is missing for a conditioned network.
        """
        step, *others = args
        seen = inputs
        if self.conditioned:
            if anchor is None:
                raise ValueError("anchor must be given, since the network is conditioned on it")
            seen = torch.cat([inputs, anchor], dim=1)
        process = on_device(self.process, inputs.device)
        prediction = network(seen, step.float() / process.num_steps, *others, **kwargs)
        return process.estimate_clean(inputs, prediction, step, anchor)


def on_device(process: DiffusionProcess, device: torch.device) -> DiffusionProcess:
    """Return the process with its tables on a device."""
    moved: Any = process
    if isinstance(moved, nn.Module):
        moved = moved.to(device)
    return cast(DiffusionProcess, moved)
