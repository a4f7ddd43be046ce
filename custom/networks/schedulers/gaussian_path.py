"""Gaussian paths from a clean image to noise, or to its degraded pair, and back."""

from __future__ import annotations

import inspect
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from custom.networks.schedulers.diffusion_process import column, even_steps
from custom.networks.schedulers.gaussian_schedules import SCHEDULES, PathTables
from custom.setting_checks import check_choice, check_whole

__all__ = ["GaussianPath", "Prediction"]

Prediction = Literal["clean", "residual", "noise"]

_LEAST_SHARE = 1e-4  # of the clean image in the variance of x_t: with less, noise says nothing


class GaussianPath(nn.Module):
    r"""A path with Gaussian noise; DDPM, ResShift, bridges and straight flows are all this one.

    .. math:: x_t = c_t x_0 + a_t y + s_t e, \qquad t = 0 \ldots T

    with the clean image ``x_0``, the degraded one ``y`` and white noise ``e`` of unit variance.
    What a network predicts from ``x_t``, and the estimate of the clean image:

    - ``clean``: :math:`\hat{x}_0` itself;
    - ``residual``: :math:`r = y - x_0`; a network of zeros gives the degraded image;
    - ``noise``: :math:`\hat{x}_0 = (x_t - a_t y - s_t \hat{e}) / c_t`, the published one. Refused
      where nothing is left of the clean image at the end.

    Args:
        schedule: Name of the path, see :data:`~.gaussian_schedules.SCHEDULES`.
        num_steps: ``T``, at least 2.
        prediction: Meaning of the network's prediction.
        last_step: Step that training and restoring take for the end, ``T`` by default: for a
            schedule that is pure noise long before.
        settings: Settings of the schedule.

    Shape:
        Images, predictions, noise: ``(B, C, *spatial)``. Steps: ``(B,)``, int64, in ``0..T``.
        Deviations: ``(B, 1, ...)``, to broadcast.

    Raises:
        ValueError: If an argument is out of its range or unknown to the schedule, or noise is
            predicted where ``c_t`` is 0.

    Source:
        docs/methods/motion_cdm.md, "Paths".
    """

    clean_gain: Tensor  # (T + 1,), c_t
    anchor_gain: Tensor  # (T + 1,), a_t
    noise_std: Tensor  # (T + 1,), s_t
    memory: Tensor  # (T + 1,), see PathTables

    def __init__(
        self,
        schedule: str = "straight",
        num_steps: int = 100,
        prediction: Prediction = "residual",
        last_step: int | None = None,
        **settings: float,
    ) -> None:
        super().__init__()
        check_choice("schedule", schedule, SCHEDULES)
        check_choice("prediction", prediction, get_args(Prediction))
        check_whole("num_steps", num_steps, 2)
        known = list(inspect.signature(SCHEDULES[schedule]).parameters)[1:]
        for name in settings:
            check_choice(f"a setting of the schedule {schedule}", name, known)
        self.num_steps = num_steps if last_step is None else last_step
        check_whole("last_step", self.num_steps, 1)
        if self.num_steps > num_steps:
            raise ValueError(f"last_step must be at most num_steps ({num_steps}), got {last_step}")
        tables = SCHEDULES[schedule](num_steps, **settings)
        tables = PathTables(*(table[: self.num_steps + 1] for table in tables))
        if prediction == "noise":
            _check_noise_prediction(schedule, tables.clean)
        self.prediction = prediction
        # Float64, since differences of them matter. Not in a state dict: they follow from the
        # arguments.
        self.register_buffer("clean_gain", tables.clean, persistent=False)
        self.register_buffer("anchor_gain", tables.anchor, persistent=False)
        self.register_buffer("noise_std", tables.std, persistent=False)
        self.register_buffer("memory", tables.memory, persistent=False)

    def timesteps(self, num_inference_steps: int | None = None) -> Tensor:
        """Return the steps of a reverse pass, see :func:`~.diffusion_process.even_steps`."""
        return even_steps(self.num_steps, num_inference_steps)

    def moments(self, clean: Tensor, anchor: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean and the standard deviation of ``x_t``."""
        mean = column(self.clean_gain[step], clean) * clean
        mean = mean + column(self.anchor_gain[step], clean) * anchor
        return mean, column(self.noise_std[step], clean)

    def estimate_clean(
        self, x_t: Tensor, prediction: Tensor, step: Tensor, anchor: Tensor | None = None
    ) -> Tensor:
        """Return the estimate of the clean image from the network's prediction."""
        if self.prediction == "clean":
            return prediction
        if self.prediction == "residual":
            return _needed(anchor) - prediction
        rest = x_t - column(self.noise_std[step], x_t) * prediction
        if self.anchor_gain[step].any():
            rest = rest - column(self.anchor_gain[step], x_t) * _needed(anchor)
        return rest / column(self.clean_gain[step], x_t)

    def step_back(
        self,
        x_t: Tensor,
        clean: Tensor,
        step: Tensor,
        to_step: Tensor,
        noise: Tensor | None = None,
        anchor: Tensor | None = None,
    ) -> Tensor:
        r"""Go back to ``u < t`` with an estimate of the clean image.

        .. math::
            x_u = c_u \hat{x}_0 + a_u y + \sqrt{s_u^2 - \tau^2}\;
            \frac{x_t - c_t \hat{x}_0 - a_t y}{s_t} + \tau e

        Without noise :math:`\tau = 0`: DDIM, or the probability flow. With noise it is the
        posterior of ``x_u`` given ``x_t`` and ``x_0``: ancestral sampling,

        .. math:: \tau^2 = s_u^2 (s_t^2 - r^2 s_u^2) / s_t^2

        where ``r`` is the gain of the forward chain from ``u`` to ``t``. Where ``s_t = 0``, as at
        the end of a bridge, all noise is fresh. Noise scaled by less than 1 gives images with less
        noise than the path has.

        Source:
            docs/methods/motion_cdm.md, "Reverse step".
        """
        kept = self.noise_std[to_step] / self.noise_std[step]
        kept = torch.where(self.noise_std[step] > 0, kept, 0)
        fresh = torch.zeros_like(kept)
        if noise is not None:
            gain = torch.where(self.memory[step] > 0, self.memory[step] / self.memory[to_step], 0)
            fresh = self.noise_std[to_step] * (1 - (gain * kept).square()).clamp(min=0).sqrt()
            kept = gain * kept.square()
        of_clean = self.clean_gain[to_step] - kept * self.clean_gain[step]
        of_anchor = self.anchor_gain[to_step] - kept * self.anchor_gain[step]
        back = column(kept, x_t) * x_t + column(of_clean, x_t) * clean
        if of_anchor.any():
            back = back + column(of_anchor, x_t) * _needed(anchor)
        return back if noise is None else back + column(fresh, x_t) * noise


def _needed(anchor: Tensor | None) -> Tensor:
    """Return the anchor, or say that the path needs it."""
    if anchor is None:
        raise ValueError("anchor must be given: this path ends at the degraded image")
    return anchor


def _check_noise_prediction(schedule: str, clean_gain: Tensor) -> None:
    """Refuse to predict noise where nothing of the clean image is left to be found."""
    share = clean_gain.square().float()  # as float32 would have it
    if share.all():
        return
    first = int((share == 0).nonzero()[0])
    last = int((share >= _LEAST_SHARE).nonzero()[-1])
    raise ValueError(
        f"prediction noise cannot give the clean image where the path {schedule} has none of it "
        f"left, from step {first} on: predict clean or residual, or set last_step to {last} or less"
    )
