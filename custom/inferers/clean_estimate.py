"""Estimate of the clean image from one step of a diffusion process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import Inferer, SimpleInferer
from torch import Tensor

from custom.networks.schedulers.diffusion_process import (
    DiffusionProcess,
    Target,
    check_target,
    middle_slice,
    on_device,
)

__all__ = ["CleanEstimate"]


class CleanEstimate(Inferer):
    r"""Estimate the clean image in one step, as training does.

    The network is called as ``network(x_t, position)`` with the position :math:`t / T`; the
    process turns its prediction into :math:`\hat{x}_0`. Further channels of the network, as the
    logarithm of the estimate's deviation, are passed on.

    Args:
        process: The diffusion process.
        conditioned: Whether the network sees the anchor as further channels, after ``x_t``.
        denoiser: How the network is run: ``denoiser(images, network, position, ...)``. A tiled
            inferer runs it in tiles, while the process sees whole images.
        target: ``noise``: return the predicted noise itself, which a training compares.

    Shape:
        ``inputs``: ``(B, C, *spatial)``; the estimate: ``(B, D, *spatial)`` with ``D`` channels
        of the network; ``step``: ``(B,)``, int64; ``anchor``: ``(B, A, *spatial)``, the degraded
        image in the middle of its neighbouring slices.

    Raises:
        ValueError: If the network predicts no noise that is the target.
    """

    def __init__(
        self,
        process: DiffusionProcess,
        conditioned: bool = False,
        denoiser: Inferer | None = None,
        target: Target = "clean",
    ) -> None:
        check_target(target, process)
        self.process = process
        self.conditioned = conditioned
        self.target = target
        self.whole = denoiser is None
        self.denoiser = denoiser or SimpleInferer()

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
        channels = inputs.shape[1]
        degraded = None if anchor is None else middle_slice(anchor, channels)
        position = step.float() / process.num_steps
        # Tiles are put together in main memory, in float32.
        made: Tensor = self.denoiser(seen, network, position, *others, **kwargs).to(inputs)
        if self.target == "noise":
            return made
        clean = process.estimate_clean(inputs, made[:, :channels], step, degraded)
        return torch.cat([clean, made[:, channels:]], dim=1)

    def encoded(self, network: Callable[..., Tensor], anchor: Tensor) -> dict[str, Tensor]:
        """Return what a network computes from the anchor alone, to be given to every step.

        Empty without a method ``encode`` of the network, and where it is run in tiles, which a code
        of the whole image does not fit.
        """
        encode = getattr(network, "encode", None)
        return {"code": encode(anchor)} if encode and self.conditioned and self.whole else {}
