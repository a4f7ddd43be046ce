"""Preparation of a training batch for a diffusion process."""

from __future__ import annotations

from typing import Any

import torch
from monai.engines import PrepareBatch
from monai.utils.enums import CommonKeys
from torch import Tensor

from custom.networks.schedulers.anchored_path import AnchoredPathScheduler
from custom.networks.schedulers.diffusion_process import (
    DiffusionProcess,
    Target,
    check_target,
    middle_slice,
    on_device,
)
from custom.networks.schedulers.residual_noise import ResidualNoise
from custom.physics.image_moments import standardise
from custom.setting_checks import check_share

__all__ = ["AnchoredPathPrepareBatch", "DiffusionPrepareBatch"]

PathBatch = tuple[Tensor, Tensor, tuple[Tensor], dict[str, Any]]


class DiffusionPrepareBatch(PrepareBatch):
    r"""Draw a step of the process for each pair, and the image at that step.

    .. math:: x_t = c_t x_0 + a_t y + s_t e

    with white noise :math:`e` and :math:`t` uniform in ``1..T``, except for a share of the samples
    at the end, :math:`t = T`.

    Args:
        process: The diffusion process.
        end_share: Expected share of samples put at ``t = T``, where every restoration starts and
            most of its error is made; in 0..1.
        target: ``noise``: the batch has :math:`e` in the place of the clean image.

    Shape:
        ``label`` (clean): ``(B, C, *spatial)``; ``image`` (degraded): ``(B, A, *spatial)``, with
        ``y`` in the middle of its neighbouring slices. The batch is ``x_t`` and the clean image,
        ``(B, C, *spatial)``; the step ``(B,)``, int64, as an argument of the inferer, and the
        degraded images as its ``anchor``.

    Raises:
        ValueError: If ``end_share`` is no number in 0..1, or the target is noise that the process's
            network does not predict.

    Source:
        docs/methods/motion_cdm.md, "Paths".
    """

    def __init__(
        self, process: DiffusionProcess, end_share: float = 0.0, target: Target = "clean"
    ) -> None:
        check_share("end_share", end_share)
        check_target(target, process)
        self.process = process
        self.end_share = end_share
        self.target = target

    def __call__(
        self,
        batchdata: dict[str, Any],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> PathBatch:
        """Return ``x_t``, the clean image, the step, and the degraded images by name."""
        on = {
            key: value.to(device=device, non_blocking=non_blocking, **kwargs)
            for key, value in batchdata.items()
            if isinstance(value, Tensor)
        }
        clean, anchor = self._pair(on)
        # On the CPU, so that a seed gives the same numbers for every device.
        uniform = torch.randint(1, self.process.num_steps + 1, (len(clean),))
        at_end = torch.rand(len(clean)) < self.end_share
        drawn = torch.where(at_end, self.process.num_steps, uniform)
        step = drawn.to(clean.device)
        degraded = middle_slice(anchor, clean.shape[1])
        mean, std = on_device(self.process, clean.device).moments(clean, degraded, step)
        noise = self._noise(drawn, mean, std)
        target = noise / std if self.target == "noise" else clean
        return mean + noise, target, (step,), {"anchor": anchor}

    def _pair(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the clean and the degraded images."""
        return batch[CommonKeys.LABEL], batch[CommonKeys.IMAGE]

    def _noise(self, step: Tensor, mean: Tensor, std: Tensor) -> Tensor:
        """Return the noise of ``x_t``; ``step`` is on the CPU."""
        return std * torch.randn(mean.shape).to(mean)


class AnchoredPathPrepareBatch(DiffusionPrepareBatch):
    r"""Draw a step on the anchored path, with noise from residuals.

    .. math:: x_t = x_0 + \tfrac{t}{T} (x_T^* - x_0) + \sigma \sum_{s \le t} f(s)\, e_s

    Both images are standardised by the moments of the scan, or the clean one by its own if the
    batch has them. The moments are those of the whole slices, not of the crops. A warning is
    logged once if the noise is too strong for the training pairs.

    Args:
        scheduler: The path.
        noise: Draws :math:`\sum f(s) e_s` in one go; its bank knows the size of the residuals.
        end_share: As above. The source draws ``t`` uniformly: 0.

    Shape:
        ``image`` (the scan), ``label`` (clean): ``(B, 1, H, W)``; ``image_moments`` and
        ``label_moments``, if any: ``(B, 2)``.

    Source:
        docs/methods/micro_mri_denoise.md, "Anchored path diffusion"; Conejo Rupp et al. 2025,
        section 4.3 and equations (22) to (25).
    """

    def __init__(
        self, scheduler: AnchoredPathScheduler, noise: ResidualNoise, end_share: float = 0.0
    ) -> None:
        super().__init__(scheduler, end_share)
        self.scheduler = scheduler
        self.noise = noise
        self._warned = False

    def _pair(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the images, standardised."""
        # Not in the constructor: the bank is built when training starts.
        if not self._warned:
            self.scheduler.warn_if_unstable(self.noise.bank.rms)
            self._warned = True
        moments = batch["image_moments"]
        clean, anchor = super()._pair(batch)
        return standardise(clean, batch.get("label_moments", moments)), standardise(anchor, moments)

    def _noise(self, step: Tensor, mean: Tensor, std: Tensor) -> Tensor:
        """Return the noise of the links up to a step."""
        path = self.scheduler
        return path.sigma * self.noise.accumulate(path.profile, step, mean.shape, mean.device)
