"""Reverse a diffusion process to the clean image, slice by slice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from monai.inferers import Inferer
from monai.networks import eval_mode
from monai.utils import convert_to_dst_type
from torch import Generator, Tensor

from custom.inferers.clean_estimate import CleanEstimate, DiffusionProcess, on_device
from custom.inferers.slice_wise_inferer import fold_slices, unfold_slices
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
    r"""Restore slices: start at the degraded image, and step back while estimating the clean one.

    With several samples, their mean and their sample standard deviation are two channels. Noise
    belongs to a slice: it depends on ``seed`` and the number of the slice alone, not on the slices
    restored with it or before it.

    Args:
        process: The diffusion process.
        num_inference_steps: Steps of a pass; all of them by default.
        noise_scale: Factor of the noise of each reverse step. 0: deterministic; 1: the noise of the
            process. The last step, to the clean image, has none.
        num_samples: Passes with independent noise.
        noise: Makes the noise of a pass; None where there is none.
        start_noise_scale: Factor of the process's deviation at the start of a pass; 0: it starts at
            the mean.
        conditioned: Whether the network sees the degraded image as a second channel.
        slices_per_batch: Slices restored at once.
        seed: Seed of the noise.

    Shape:
        ``inputs``: ``(B, 1, X, Y)``, or ``(B, 1, X, Y, S)`` with slices last. The output has two
        channels if ``num_samples > 1``: mean and standard deviation.

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
        slices_per_batch: int = 4,
        seed: int = 0,
    ) -> None:
        starts = process.timesteps(num_inference_steps).tolist()
        check_not_negative("noise_scale", noise_scale)
        check_not_negative("start_noise_scale", start_noise_scale)
        check_whole("num_samples", num_samples, 1)
        check_whole("slices_per_batch", slices_per_batch, 1)
        random = max(noise_scale, start_noise_scale) > 0
        _check_noise(num_samples, random, start_noise_scale > 0 or len(starts) > 1)
        if random and noise is None:
            raise ValueError(f"noise must be given if noise_scale is {noise_scale}")
        self.process = process
        self.steps: Sequence[tuple[int, int]] = list(zip(starts, [*starts[1:], 0], strict=True))
        self.noise_scale = noise_scale
        self.start_noise_scale = start_noise_scale
        self.num_samples = num_samples
        self.noise = noise if random else None
        self.slices_per_batch = slices_per_batch
        self.seed = seed
        self._estimate = CleanEstimate(process, conditioned)

    def __call__(self, inputs: Tensor, network: Network, *args: Any, **kwargs: Any) -> Tensor:
        """Restore a batch of slices or stacks; further arguments go to the network.

        Raises:
            ValueError: If ``inputs`` are neither slices nor stacks of one channel.
        """
        if inputs.ndim not in (4, 5) or inputs.shape[1] != 1:
            raise ValueError(
                f"inputs must be (B, 1, X, Y) or (B, 1, X, Y, S), got {tuple(inputs.shape)}"
            )
        # Plain tensors: tracking geometry slows every operation, and it is put back at the end.
        slices = torch.as_tensor(inputs).as_subclass(Tensor)
        if inputs.ndim == 5:
            slices = fold_slices(slices)
        with eval_mode(network):  # type: ignore[arg-type]  # any callable
            restored = torch.cat(
                [
                    self._restore(part, number * self.slices_per_batch, network, *args, **kwargs)
                    for number, part in enumerate(torch.split(slices, self.slices_per_batch))
                ]
            )
        if inputs.ndim == 5:
            restored = unfold_slices(restored, len(inputs))
        # The geometry of the input, though the channels may differ.
        output: Tensor = convert_to_dst_type(restored, inputs)[0]
        return output

    def sample(
        self, anchor: Tensor, first: int, network: Network, *args: Any, **kwargs: Any
    ) -> Tensor:
        """Return all passes of degraded slices ``(n, 1, X, Y)`` as ``(num_samples, n, 1, X, Y)``.

        ``first`` is the number of the first slice, on which the noise depends.
        """
        generators = [_generator(self.seed, first + index) for index in range(len(anchor))]
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
        std, mean = torch.std_mean(passes, dim=0)
        return torch.cat([mean, std], dim=1)

    def _walk_back(
        self,
        anchor: Tensor,
        generators: list[Generator],
        network: Network,
        *args: Any,
        **kwargs: Any,
    ) -> Tensor:
        """Go from the degraded images to the clean ones once."""
        process = on_device(self.process, anchor.device)
        draw = self.noise(anchor, generators) if self.noise else None
        image = self._start(process, anchor, draw)
        for start, end in self.steps:
            step, to_step = (
                torch.full((len(image),), t, device=image.device) for t in (start, end)
            )
            clean = self._estimate(image, network, step, *args, anchor=anchor, **kwargs)
            drawn = None
            # No noise in the step to the clean image: it would be added to the result.
            if draw and self.noise_scale > 0 and end > 0:
                drawn = draw(start, end)
                drawn = drawn if drawn is None else self.noise_scale * drawn
            image = process.step_back(image, clean, step, to_step, drawn, anchor)
        return image

    def _start(self, process: DiffusionProcess, anchor: Tensor, draw: DrawNoise | None) -> Tensor:
        """Return the start of a pass, with the degraded image for the unknown clean one."""
        first = self.steps[0][0]
        step = torch.full((len(anchor),), first, device=anchor.device)
        mean, std = process.moments(anchor, anchor, step)
        drawn = draw(first, 0) if draw and self.start_noise_scale > 0 else None
        return mean if drawn is None else mean + self.start_noise_scale * std * drawn


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
