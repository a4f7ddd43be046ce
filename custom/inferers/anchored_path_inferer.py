"""Restore scans by the reverse process of the anchored path diffusion."""

from __future__ import annotations

import logging
from typing import Any, get_args

import torch
from torch import Generator, Tensor

from custom.inferers.iterative import DrawNoise, IterativeInferer, Network
from custom.networks.schedulers.anchored_path import AnchoredPathScheduler
from custom.networks.schedulers.diffusion_process import column
from custom.networks.schedulers.residual_noise import ResidualNoise
from custom.physics.image_moments import (
    MomentsForm,
    image_moments,
    standardise,
    unstandardise,
)
from custom.setting_checks import check_choice

__all__ = ["AnchoredPathInferer", "LinkNoise"]

logger = logging.getLogger(__name__)


class LinkNoise:
    """Noise that the links of the path between two steps add; a slice's window stays in a pass.

    Args:
        noise: Draws the fields.
        profile: ``f(t)`` of the path, ``(T + 1,)``.
    """

    def __init__(self, noise: ResidualNoise, profile: Tensor) -> None:
        self._noise = noise
        self._profile = profile

    def __call__(self, images: Tensor, generators: list[Generator]) -> DrawNoise:
        """Return the noise of one pass, see :data:`custom.inferers.iterative.NoiseOfPass`."""
        # A slice at a time, each from its own generator: its noise must not depend on the batch.
        shape = (1, *images.shape[1:])
        offsets = [self._noise.draw_offset(shape, generator) for generator in generators]

        def draw(start: int, end: int) -> Tensor | None:
            links = self._profile[end + 1 : start + 1]
            # Where f is 0, as at the scan, there is no noise to bring to unit variance.
            if not links.any():
                return None
            # accumulate counts links from 1 and does not use the entry of 0.
            profile = torch.cat([links.new_zeros(1), links])
            all_links = torch.tensor([len(links)])
            fields = [
                self._noise.accumulate(profile, all_links, shape, images.device, generator, offset)
                for generator, offset in zip(generators, offsets, strict=True)
            ]
            # Variances of independent links add up; step_back expects noise of unit variance.
            return torch.cat(fields) / links.square().sum().sqrt()

        return draw


class AnchoredPathInferer(IterativeInferer):
    r"""Restore slices along the anchored path, which starts at the scan itself.

    Each slice is standardised by its own moments first, and its restoration is given back in the
    units of the scan. Noise of a step is that of the links it passes, in distribution.

    A warning is logged if the scan would be returned unchanged: with ``noise_schedule`` and a
    profile that ends at 0 the prediction has no effect at ``t = T``, so that one step does nothing.

    Args:
        scheduler: The path and its parameterisation.
        num_inference_steps: Steps of a pass, at most those of the path; all of them by default.
        noise_scale: Factor of the noise of each reverse step; 0: deterministic.
        num_samples: Passes; more than one needs two steps or more.
        noise: Draws the noise; not needed without noise.
        form: Standardisation of the slices, as in training.
        slices_per_batch: Slices restored at once.
        seed: Seed of the noise.

    Source:
        docs/methods/micro_mri_denoise.md, "Reverse process"; the paper gives none.
    """

    def __init__(
        self,
        scheduler: AnchoredPathScheduler,
        num_inference_steps: int | None = None,
        noise_scale: float = 0.0,
        num_samples: int = 1,
        noise: ResidualNoise | None = None,
        form: MomentsForm = "tissue",
        slices_per_batch: int = 4,
        seed: int = 0,
    ) -> None:
        super().__init__(
            scheduler,
            num_inference_steps,
            noise_scale,
            num_samples,
            LinkNoise(noise, scheduler.profile) if noise else None,
            start_noise_scale=0,  # the scan has its noise
            slices_per_batch=slices_per_batch,
            seed=seed,
        )
        check_choice("form", form, get_args(MomentsForm))
        self.form: MomentsForm = form
        # The only step would be one in which the network's prediction has no effect.
        void = scheduler.parameterisation == "noise_schedule" and not scheduler.profile[-1]
        if void and len(self.steps) == 1:
            logger.warning(
                "parameterisation noise_schedule restores nothing in one step, since its noise "
                "profile is 0 at the scan: give --num_inference_steps 2 or more"
            )

    def sample(
        self, anchor: Tensor, first: int, network: Network, *args: Any, **kwargs: Any
    ) -> Tensor:
        """Return all passes of some slices in the units of the scan; each standardised before."""
        moments = torch.stack([image_moments(scan, self.form) for scan in anchor])
        passes = super().sample(standardise(anchor, moments), first, network, *args, **kwargs)
        images = torch.stack([unstandardise(image[:, :1], moments) for image in passes])
        # A deviation has the scale of the scan, but no centre.
        return torch.cat([images, passes[:, :, 1:] * column(moments[:, 1], anchor)], dim=2)
