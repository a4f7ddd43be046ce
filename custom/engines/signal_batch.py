"""Preparation of a batch of simulated diffusion signals."""

from __future__ import annotations

from typing import Any, Literal

import torch
from monai.engines import PrepareBatch
from torch import Tensor

__all__ = ["SignalPrepareBatch"]

_TARGETS = {"signal": "label", "tensor": "tensor"}


class SignalPrepareBatch(PrepareBatch):
    """Hand noisy signals and the noise level to the network; truth and level to the loss.

    Args:
        target: ``signal``: the clean signals; ``tensor``: their tensor.
        with_sigma: Whether the network gets the noise level.
        with_latents: Whether an autoencoder samples its latents and returns them, as in training.

    Shape:
        ``image``, ``label``: ``(B, M)``; ``tensor``: ``(B, 6)``; ``sigma``: ``(B, 1)``; what is
        compared with: ``(B, K + 1)``, the truth and then the noise level.

    Raises:
        ValueError: If ``target`` is unknown, or when called, if the batch has no tensors to
            compare with.
    """

    def __init__(
        self,
        target: Literal["signal", "tensor"] = "signal",
        with_sigma: bool = True,
        with_latents: bool = False,
    ) -> None:
        if target not in _TARGETS:
            raise ValueError(f"target must be one of {tuple(_TARGETS)}, got {target!r}")
        self.key = _TARGETS[target]
        self.with_sigma = with_sigma
        self.with_latents = with_latents

    def __call__(
        self,
        batchdata: dict[str, Tensor],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...], dict[str, Any]]:
        """Return inputs, target, and further arguments of the network."""
        if self.key not in batchdata:
            raise ValueError(f"target {self.key!r} is not in the batch: the prior has no tensors")
        moved = {
            key: batchdata[key].to(device=device, non_blocking=non_blocking, **kwargs)
            for key in ("image", "sigma", self.key)
        }
        # MONAI gives the loss one target, so the noise level is its last column.
        target = torch.cat([moved[self.key], moved["sigma"]], dim=1)
        given = (moved["sigma"],) if self.with_sigma else ()
        asked = {"with_latents": True, "sample": True} if self.with_latents else {}
        return moved["image"], target, given, asked
