"""Reverse a diffusion process to the clean image, slice by slice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from monai.inferers import Inferer
from monai.networks import eval_mode
from monai.utils import convert_to_dst_type
from torch import Generator, Tensor

from custom.inferers.clean_estimate import CleanEstimate
from custom.inferers.slice_wise_inferer import (
    check_slices,
    fold_slices,
    neighbouring_slices,
    unfold_slices,
)
from custom.networks.schedulers.diffusion_process import DiffusionProcess, middle_slice, on_device
from custom.setting_checks import check_not_negative, check_whole

__all__ = ["DrawNoise", "IterativeInferer", "NoiseOfPass", "white_noise"]

Network = Callable[..., Tensor]

DrawNoise = Callable[[int, int], Tensor | None]
"""Called with ``(t, u)``: noise of unit variance that is added between the two; None for none."""

NoiseOfPass = Callable[[Tensor, list[Generator]], DrawNoise]
"""Makes the noise of one pass for images ``(n, C, X, Y)``, from a generator an image on the CPU."""


def white_noise(images: Tensor, generators: list[Generator]) -> DrawNoise:
    """Return independent normal voxels for every step, see :data:`NoiseOfPass`."""

    def draw(start: int, end: int) -> Tensor:
        # On the CPU: a seed gives the same noise on every device.
        fields = [torch.randn(images.shape[1:], generator=generator) for generator in generators]
        return torch.stack(fields).to(images)

    return draw


class IterativeInferer(Inferer):
    r"""Restore images: start at the degraded one, and step back while estimating the clean one.

    Volumes are restored slice by slice, or whole. Noise belongs to a slice (or volume): it depends
    on ``seed`` and its number alone, not on those restored with it or before it.

    A network may have a second channel, the logarithm of the deviation of the clean image from
    the estimate. It is read at the first step, where nothing but the scan is known; it is that of
    the estimate in one step. Several samples have the deviation that they show instead. The mean
    of ``K`` perfect samples is further from the truth than that estimate, by the factor
    :math:`\sqrt{1 + 1 / K}`.

    Args:
        process: The diffusion process.
        num_inference_steps: Steps of a pass; all of them by default.
        noise_scale: Factor of the noise of each reverse step. 0: deterministic; 1: the noise of the
            process. The last step, to the clean image, has none.
        num_samples: Passes with independent noise.
        noise: Makes the noise of a pass; None where there is none.
        start_noise_scale: Factor of the process's deviation at the start of a pass; 0: it starts at
            the mean.
        conditioned: Whether the network sees the degraded image after ``x_t``, as further channels.
            One with a method ``encode`` gets ``encode(degraded)``, computed once for all steps and
            passes, as ``code``.
        num_slices: Neighbouring slices of the degraded image that a conditioned network sees, odd.
        spatial_dim: Axis of volumes that counts slices: 0, 1 or 2; None: volumes are not divided.
        denoiser: How the network is run at each step, see
            :class:`~custom.inferers.clean_estimate.CleanEstimate`. A tiled inferer belongs here:
            tiles of a network that sees no further than their halo give what the whole gives, since
            state and noise are of the whole image.
        slices_per_batch: Slices restored at once.
        seed: Seed of the noise.

    Shape:
        ``inputs``: ``(B, 1, X, Y)``, or ``(B, 1, X, Y, Z)``. The channels of the output are the
        restored image (the mean of several samples), and the sample standard deviation if
        ``num_samples > 1``, else the deviation if the network knows it.

    Raises:
        ValueError: If an argument is out of its range, several samples are set but no noise, or
            noise without ``noise``.

    Source:
        Song, Meng, Ermon, ICLR 2021 (steps without noise); Ho, Jain, Abbeel, NeurIPS 2020 (with).
    """

    def __init__(
        self,
        process: DiffusionProcess,
        num_inference_steps: int | None = None,
        noise_scale: float = 0.0,
        num_samples: int = 1,
        noise: NoiseOfPass | None = white_noise,
        *,
        start_noise_scale: float = 1.0,
        conditioned: bool = False,
        num_slices: int = 1,
        spatial_dim: int | None = 2,
        denoiser: Inferer | None = None,
        slices_per_batch: int = 4,
        seed: int = 0,
    ) -> None:
        starts = process.timesteps(num_inference_steps).tolist()
        check_not_negative("noise_scale", noise_scale)
        check_not_negative("start_noise_scale", start_noise_scale)
        check_whole("num_samples", num_samples, 1)
        check_slices(2 if spatial_dim is None else spatial_dim, num_slices, slices_per_batch)
        if num_slices > 1 and (spatial_dim is None or not conditioned):
            raise ValueError(f"num_slices {num_slices} needs slices and a conditioned network")
        noisy_start = start_noise_scale > 0 and _has_noise(process, starts[0])
        random = noise_scale > 0 or noisy_start
        _check_noise(num_samples, random, noisy_start or len(starts) > 1)
        if random and noise is None:
            raise ValueError(f"noise must be given if noise_scale is {noise_scale}")
        self.process = process
        self.steps: Sequence[tuple[int, int]] = list(zip(starts, [*starts[1:], 0], strict=True))
        self.noise_scale = noise_scale
        self.start_noise_scale = start_noise_scale
        self.num_samples = num_samples
        self.noise = noise if random else None
        self.num_slices = num_slices
        self.spatial_dim = spatial_dim
        self.slices_per_batch = slices_per_batch
        self.seed = seed
        self._estimate = CleanEstimate(process, conditioned, denoiser)

    def __call__(self, inputs: Tensor, network: Network, *args: Any, **kwargs: Any) -> Tensor:
        """Restore a batch of slices or volumes; further arguments go to the network.

        Raises:
            ValueError: If ``inputs`` are neither slices nor volumes of one channel.
        """
        if inputs.ndim not in (4, 5) or inputs.shape[1] != 1:
            raise ValueError(
                f"inputs must be (B, 1, X, Y) or (B, 1, X, Y, Z), got {tuple(inputs.shape)}"
            )
        # Plain tensors: tracking geometry slows every operation, and it is put back at the end.
        images, total = torch.as_tensor(inputs).as_subclass(Tensor), 1
        axis = self.spatial_dim if inputs.ndim == 5 else None
        if axis is not None:
            images, total = fold_slices(images, axis), inputs.shape[axis + 2]
        restored = []
        with eval_mode(network):  # type: ignore[arg-type]  # any callable
            for chosen in torch.split(torch.arange(len(images)), self.slices_per_batch):
                seen = neighbouring_slices(images, chosen, total, self.num_slices)
                restored.append(self._restore(seen, int(chosen[0]), network, *args, **kwargs))
        result = torch.cat(restored)
        if axis is not None:
            result = unfold_slices(result, len(inputs), axis)
        # The geometry of the input, though the channels may differ.
        output: Tensor = convert_to_dst_type(result, inputs)[0]
        return output

    def sample(
        self, anchor: Tensor, first: int, network: Network, *args: Any, **kwargs: Any
    ) -> Tensor:
        """Return all passes of degraded images ``(n, num_slices, *plane)``.

        ``first`` is the number of the first image, on which the noise depends. The passes are
        ``(num_samples, n, 1, *plane)``, with a second channel if the network knows the deviation.
        """
        generators = [_generator(self.seed, first + index) for index in range(len(anchor))]
        kwargs = kwargs | self._estimate.encoded(network, anchor)
        passes = [
            self._walk_back(anchor, generators, network, *args, **kwargs)
            for _ in range(self.num_samples)
        ]
        return torch.stack(passes)

    def _restore(
        self, anchor: Tensor, first: int, network: Network, *args: Any, **kwargs: Any
    ) -> Tensor:
        """Return the sample, or mean and standard deviation of several as channels."""
        passes = self.sample(anchor, first, network, *args, **kwargs)
        if self.num_samples == 1:
            return passes[0]
        std, mean = torch.std_mean(passes[:, :, :1], dim=0)
        return torch.cat([mean, std], dim=1)

    def _walk_back(
        self,
        anchor: Tensor,
        generators: list[Generator],
        network: Network,
        *args: Any,
        **kwargs: Any,
    ) -> Tensor:
        """Go from the degraded images to the clean ones once; return them, and the deviation."""
        process, degraded = on_device(self.process, anchor.device), middle_slice(anchor, 1)
        draw = self.noise(degraded, generators) if self.noise else None
        image = self._start(process, degraded, draw)
        deviation: Tensor | None = None
        for start, end in self.steps:
            step, to_step = (
                torch.full((len(image),), t, device=image.device) for t in (start, end)
            )
            made = self._estimate(image, network, step, *args, anchor=anchor, **kwargs)
            clean, others = made[:, :1], made[:, 1:]
            deviation = others.exp() if deviation is None else deviation
            drawn = None
            # No noise in the step to the clean image: it would be added to the result.
            if draw and self.noise_scale > 0 and end > 0:
                drawn = draw(start, end)
                drawn = drawn if drawn is None else self.noise_scale * drawn
            image = process.step_back(image, clean, step, to_step, drawn, degraded)
        return image if deviation is None else torch.cat([image, deviation], dim=1)

    def _start(self, process: DiffusionProcess, anchor: Tensor, draw: DrawNoise | None) -> Tensor:
        """Return the start of a pass, with the degraded image for the unknown clean one."""
        first = self.steps[0][0]
        step = torch.full((len(anchor),), first, device=anchor.device)
        mean, std = process.moments(anchor, anchor, step)
        drawn = draw(first, 0) if draw and self.start_noise_scale > 0 else None
        return mean if drawn is None else mean + self.start_noise_scale * std * drawn


def _has_noise(process: DiffusionProcess, step: int) -> bool:
    """Return True if images have noise at a step; a bridge has none at the degraded image."""
    zero = torch.zeros(1, 1)
    _, std = on_device(process, zero.device).moments(zero, zero, torch.tensor([step]))
    return bool(std.any())


def _check_noise(num_samples: int, random: bool, before_the_end: bool) -> None:
    """Refuse several passes that would all be the same."""
    if num_samples > 1 and not random:
        raise ValueError(
            f"num_samples {num_samples} needs noise: without, all passes are the same; give "
            "--noise_scale above 0"
        )
    if num_samples > 1 and not before_the_end:
        raise ValueError(
            f"num_samples {num_samples} needs num_inference_steps of 2 or more: the last step, to "
            "the clean image, has no noise"
        )


def _generator(seed: int, number: int) -> Generator:
    """Return a generator for one slice."""
    # Seeds are multiplied by a prime, so that neighbouring seeds share no slice's noise.
    return Generator().manual_seed((seed * 1_000_003 + number) % 2**63)
