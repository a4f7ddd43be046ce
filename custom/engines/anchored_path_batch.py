"""Preparation of a training batch for the anchored path diffusion."""

from __future__ import annotations

from typing import Any

import torch
from monai.engines import PrepareBatch
from monai.utils.enums import CommonKeys
from torch import Tensor

from custom.networks.schedulers.anchored_path import AnchoredPathScheduler
from custom.networks.schedulers.residual_noise import ResidualNoise
from custom.physics.image_moments import standardise
from custom.setting_checks import check_share

__all__ = ["AnchoredPathPrepareBatch"]

PathBatch = tuple[Tensor, Tensor, tuple[Tensor], dict[str, Any]]


class AnchoredPathPrepareBatch(PrepareBatch):
    r"""Draw a step on the path of each pair, and the image at that step.

    .. math:: x_t = x_0 + \tfrac{t}{T} (x_T^* - x_0) + \sigma \sum_{s \le t} f(s)\, e_s

    with :math:`t` uniform in ``1..T``, except for a share of the samples at the end,
    :math:`t = T`. Both images are standardised by the moments of the scan, or the clean one by its
    own if the batch has them. The moments are those of the whole slices, not of the crops. A
    warning is logged once if the noise is too strong for the training pairs.

    Args:
        scheduler: The path.
        noise: Draws :math:`\sum f(s) e_s` in one go; its bank knows the size of the residuals.
        end_share: Expected share of samples put at ``t = T``, where every restoration starts and
            most of its error is made; in 0..1. The source draws ``t`` uniformly: 0.

    Shape:
        ``image`` (the scan), ``label`` (clean): ``(B, 1, H, W)``; ``image_moments`` and
        ``label_moments``, if any: ``(B, 2)``.

    Raises:
        ValueError: If ``end_share`` is no number in 0..1.

    Source:
        docs/methods/micro_mri_denoise.md, "Anchored path diffusion"; Conejo Rupp et al. 2025,
        section 4.3 and equations (22) to (25).
    """

    def __init__(
        self, scheduler: AnchoredPathScheduler, noise: ResidualNoise, end_share: float = 0.0
    ) -> None:
        check_share("end_share", end_share)
        self.scheduler = scheduler
        self.noise = noise
        self.end_share = end_share
        self._warned = False

    def __call__(
        self,
        batchdata: dict[str, Tensor],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> PathBatch:
        """Return ``x_t``, the clean image, and the step as an argument of the inferer."""
        # Not in the constructor: the bank is built when training starts.
        if not self._warned:
            self.scheduler.warn_if_unstable(self.noise.bank.rms)
            self._warned = True

        def to_device(key: str) -> Tensor:
            return batchdata[key].to(device=device, non_blocking=non_blocking, **kwargs)

        image_moments = to_device("image_moments")
        own = "label_moments" in batchdata
        label_moments = to_device("label_moments") if own else image_moments
        anchor = standardise(to_device(CommonKeys.IMAGE), image_moments)
        clean = standardise(to_device(CommonKeys.LABEL), label_moments)
        x_t, step = self._draw(clean, anchor)
        return x_t, clean, (step,), {}

    def _draw(self, clean: Tensor, anchor: Tensor) -> tuple[Tensor, Tensor]:
        """Draw the steps, and the images on the paths there."""
        scheduler = self.scheduler.to(clean.device)
        # On the CPU, so that a seed gives the same numbers for every device.
        uniform = torch.randint(1, scheduler.num_steps + 1, (len(clean),))
        at_end = torch.rand(len(clean)) < self.end_share
        drawn = torch.where(at_end, scheduler.num_steps, uniform)
        step = drawn.to(clean.device)
        mean, _ = scheduler.moments(clean, anchor, step)
        noise = self.noise.accumulate(scheduler.profile, drawn, clean.shape, clean.device)
        return mean + scheduler.sigma * noise, step
