"""Walk scans back along the path of the anchored path diffusion to the clean image."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from monai.inferers import Inferer
from monai.networks import eval_mode
from monai.utils import convert_to_dst_type
from torch import Generator, Tensor, nn

from custom.errors import InputError
from custom.inferers.anchored_path_estimate import AnchoredPathEstimate
from custom.networks.schedulers.anchored_path import AnchoredPathScheduler
from custom.networks.schedulers.residual_noise import ResidualNoise
from custom.physics.image_moments import (
    MomentsForm,
    check_form,
    image_moments,
    standardise,
    unstandardise,
)
from custom.setting_checks import check_not_negative, check_whole

__all__ = ["AnchoredPathInferer"]

logger = logging.getLogger(__name__)

Network = Callable[..., Tensor]


class AnchoredPathInferer(Inferer):
    r"""Restore slices: start at the scan, and step back while estimating the clean image.

    Each slice is standardised by its own moments first, and its restoration is given back in the
    units of the scan. With several passes, their mean and their sample standard deviation are two
    channels. Noise belongs to a slice: it depends on ``seed`` and the number of the slice alone,
    not on the slices restored with it or before it.

    A warning is logged if the scan would come back as it is: ``noise_schedule`` says nothing at
    ``t = T`` where its profile ends at 0, so that one step does nothing.

    Args:
        scheduler: The path and its parameterisation.
        num_inference_steps: Steps of a pass, at most those of the path; all of them by default.
        noise_scale: What the noise of each step back is multiplied by. 0: none, the restoration
            is deterministic; 1: that of the links between the two steps, in distribution. The
            last step, to the clean image, has none.
        num_samples: Passes with noise of their own; more than one needs two steps or more.
        noise: Draws the noise; not needed without noise.
        form: How slices are standardised, as in training.
        slices_per_batch: Slices restored at once.
        seed: Of the noise.

    Shape:
        ``inputs``: ``(B, 1, X, Y)``, or ``(B, 1, X, Y, S)`` with slices last. The output has two
        channels if ``num_samples > 1``: mean and standard deviation.

    Raises:
        InputError: If an argument is out of its range, more passes are asked for but no noise, or
            noise without ``noise``. These are settings of users, so the error is theirs to read.

    Source:
        METHODS.md, study 1, "Reverse"; the source gives none.
    """

    def __init__(
        self,
        scheduler: AnchoredPathScheduler,
        num_inference_steps: int | None = None,
        noise_scale: float = 0.0,
        num_samples: int = 1,
        noise: ResidualNoise | None = None,
        form: MomentsForm = "centred",
        slices_per_batch: int = 4,
        seed: int = 0,
    ) -> None:
        starts = scheduler.timesteps(num_inference_steps).tolist()
        _check(noise_scale, num_samples, len(starts), noise, slices_per_batch)
        check_form(form)
        _warn_if_void(scheduler, len(starts))
        self.scheduler = scheduler
        self.steps: Sequence[tuple[int, int]] = list(zip(starts, [*starts[1:], 0], strict=True))
        self.noise_scale = noise_scale
        self.num_samples = num_samples
        self.noise = noise
        self.form: MomentsForm = form
        self.slices_per_batch = slices_per_batch
        self.seed = seed
        self._estimate = AnchoredPathEstimate(scheduler)

    def __call__(self, inputs: Tensor, network: Network, *args: Any, **kwargs: Any) -> Tensor:
        """Restore a batch of slices or stacks.

        Args:
            inputs: The scans.
            network: Predicts from an image on the path and its position.
            args: What else the network takes.
            kwargs: What else the network takes.

        Raises:
            ValueError: If ``inputs`` are neither slices nor stacks of one channel.
        """
        if inputs.ndim not in (4, 5) or inputs.shape[1] != 1:
            raise ValueError(
                f"inputs must be (B, 1, X, Y) or (B, 1, X, Y, S), got {tuple(inputs.shape)}"
            )
        slices = _fold(torch.as_tensor(inputs).as_subclass(Tensor))
        size = self.slices_per_batch
        with _evaluating(network):
            restored = torch.cat(
                [
                    self._restore(slices[first : first + size], first, network, *args, **kwargs)
                    for first in range(0, len(slices), size)
                ]
            )
        # As SliceInferer: the geometry of the input, though the channels may differ.
        output: Tensor = convert_to_dst_type(_unfold(restored, inputs), inputs)[0]
        return output

    def _restore(
        self, scans: Tensor, first: int, network: Network, *args: Any, **kwargs: Any
    ) -> Tensor:
        """Restore some slices, ``(n, 1, X, Y)``, numbered from ``first``."""
        moments = torch.stack([image_moments(scan, self.form) for scan in scans])
        start = standardise(scans, moments)
        generators = [_generator(self.seed, first + index) for index in range(len(scans))]
        passes = [
            self._walk_back(start, generators, network, *args, **kwargs)
            for _ in range(self.num_samples)
        ]
        restored = torch.stack([unstandardise(image, moments) for image in passes])
        if self.num_samples == 1:
            return restored[0]
        std, mean = torch.std_mean(restored, dim=0)
        return torch.cat([mean, std], dim=1)

    def _walk_back(
        self,
        image: Tensor,
        generators: list[Generator],
        network: Network,
        *args: Any,
        **kwargs: Any,
    ) -> Tensor:
        """Go from the scans to the clean images once, in standardised units."""
        noise = None
        if self.noise is not None and self.noise_scale > 0:
            noise = _SliceNoise(self.noise, generators, image)
        scheduler = self.scheduler.to(image.device)
        for start, end in self.steps:
            step, to_step = (
                torch.full((len(image),), t, device=image.device) for t in (start, end)
            )
            clean = self._estimate(image, network, step, *args, **kwargs)
            links = scheduler.profile[end + 1 : start + 1]
            # None into the clean image: it would be added to the result as it is.
            drawn = None
            if noise and end > 0 and links.any():
                drawn = self.noise_scale * noise.draw(links)
            image = scheduler.step_back(image, clean, step, to_step, drawn)
        return image


class _SliceNoise:
    """Noise of a pass, from a generator a slice; a slice's window stays where it is."""

    def __init__(self, noise: ResidualNoise, generators: list[Generator], image: Tensor) -> None:
        self._noise = noise
        self._generators = generators
        self._shape = (1, *image.shape[1:])
        self._device = image.device
        self._offsets = [noise.draw_offset(self._shape, generator) for generator in generators]

    def draw(self, links: Tensor) -> Tensor:
        """Draw what links of a chain add, a field a slice, and bring it to unit variance.

        Args:
            links: ``f`` of each link, ``(L,)``; not all 0.
        """
        profile = torch.cat([links.new_zeros(1), links])
        all_links = torch.tensor([len(links)])
        fields = [
            self._noise.accumulate(profile, all_links, self._shape, self._device, generator, offset)
            for generator, offset in zip(self._generators, self._offsets, strict=True)
        ]
        return torch.cat(fields) / links.square().sum().sqrt()


def _check(
    noise_scale: float,
    num_samples: int,
    steps: int,
    noise: ResidualNoise | None,
    slices_per_batch: int,
) -> None:
    """Refuse settings that are out of range or do not go together."""
    check_not_negative("noise_scale", noise_scale)
    check_whole("num_samples", num_samples, 1)
    check_whole("slices_per_batch", slices_per_batch, 1)
    if num_samples > 1 and noise_scale == 0:
        raise InputError(
            f"num_samples {num_samples} needs noise: without, all passes are the same; set "
            "noise_scale above 0"
        )
    if num_samples > 1 and steps == 1:
        raise InputError(
            f"num_samples {num_samples} needs num_inference_steps of 2 or more: the last step, to "
            "the clean image, has no noise"
        )
    if noise_scale > 0 and noise is None:
        raise InputError(f"noise must be given if noise_scale is {noise_scale}")


def _warn_if_void(scheduler: AnchoredPathScheduler, steps: int) -> None:
    """Warn if the only step is one in which the network's prediction has no effect."""
    void = scheduler.parameterisation == "noise_schedule" and not scheduler.profile[-1]
    if void and steps == 1:
        logger.warning(
            "parameterisation noise_schedule restores nothing in one step, since its noise profile "
            "is 0 at the scan: set num_inference_steps to 2 or more"
        )


def _evaluating(network: Network) -> AbstractContextManager[Any]:
    """Return the context in which a network restores: no gradients, and modules in eval mode."""
    return eval_mode(network) if isinstance(network, nn.Module) else torch.no_grad()


def _generator(seed: int, number: int) -> Generator:
    """Return a generator for one slice."""
    # A prime apart, so that neighbouring seeds share no slice's noise.
    return Generator().manual_seed((seed * 1_000_003 + number) % 2**63)


def _fold(inputs: Tensor) -> Tensor:
    """Return the slices as one batch, ``(B S, 1, X, Y)``."""
    return inputs.movedim(-1, 1).flatten(0, 1) if inputs.ndim == 5 else inputs


def _unfold(slices: Tensor, inputs: Tensor) -> Tensor:
    """Return slices in the arrangement of the inputs; the channels are those of the slices."""
    if inputs.ndim == 4:
        return slices
    return slices.reshape(len(inputs), -1, *slices.shape[1:]).movedim(1, -1)
