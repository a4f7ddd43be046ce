"""What every diffusion process has, and the parts that processes share."""

from __future__ import annotations

from typing import Any, Literal, Protocol, cast, get_args

import torch
from torch import Tensor, nn

from custom.setting_checks import check_choice, check_whole

__all__ = [
    "DiffusionProcess",
    "Target",
    "check_target",
    "column",
    "even_steps",
    "middle_slice",
    "on_device",
]

Target = Literal["clean", "noise"]
"""What a training compares: estimates of the clean image, or of the noise in ``x_t``."""


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


def check_target(target: str, process: DiffusionProcess) -> None:
    """Raise ``ValueError`` unless a network of the process can be trained by a target."""
    check_choice("target", target, get_args(Target))
    predicts = getattr(process, "prediction", None)
    if target == "noise" and predicts != "noise":
        raise ValueError(f"target noise needs prediction noise, got {predicts}")


def on_device(process: DiffusionProcess, device: torch.device) -> DiffusionProcess:
    """Return the process with its tables on a device."""
    moved: Any = process
    if isinstance(moved, nn.Module):
        moved = moved.to(device)
    return cast(DiffusionProcess, moved)


def column(values: Tensor, like: Tensor) -> Tensor:
    """Reshape one value a sample to broadcast over images, in their type."""
    return values.to(like.dtype).view(-1, *[1] * (like.ndim - 1))


def middle_slice(condition: Tensor, channels: int) -> Tensor:
    """Return the degraded image itself out of its neighbouring slices, ``(B, A, *spatial)``.

    Example:
        >>> middle_slice(torch.arange(3)[None], 1)
        tensor([[1]])
    """
    return condition.narrow(1, (condition.shape[1] - channels) // 2, channels)


def even_steps(num_steps: int, num_inference_steps: int | None = None) -> Tensor:
    """Return the steps of a reverse pass, from ``T`` down, without the final 0.

    Args:
        num_steps: ``T``.
        num_inference_steps: Number of steps, in ``1..T``, evenly spread; all ``T`` by default.

    Returns:
        ``(num_inference_steps,)``, int64, strictly descending.

    Raises:
        ValueError: If there are fewer than 1 or more than ``T``.

    Example:
        >>> even_steps(100, 4)
        tensor([100,  75,  50,  25])
    """
    count = num_steps if num_inference_steps is None else num_inference_steps
    check_whole("num_inference_steps", count, 1)
    if count > num_steps:
        raise ValueError(f"num_inference_steps must lie in 1..num_steps ({num_steps}), got {count}")
    # In integers: spaced by T / count >= 1, no two round to the same step.
    return torch.tensor([(2 * num_steps * k + count) // (2 * count) for k in range(count, 0, -1)])
