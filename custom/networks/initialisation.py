"""Kaiming initialisation of a whole network."""

from __future__ import annotations

import math

import torch
from torch import Generator, nn

__all__ = ["kaiming_init"]

_LAYERS = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
    nn.Linear,
)


def kaiming_init(
    module: nn.Module,
    negative_slope: float = 0.2,
    generator: Generator | None = None,
) -> nn.Module:
    r"""Draw the weights of every convolution and linear layer anew, set biases to 0.

    .. math:: w \sim N(0, \sigma^2), \quad \sigma^2 = \frac{2}{(1 + a^2) n}

    with the fan-in ``n`` (of a transposed convolution: divided by the stride) and the slope ``a``,
    so that the second moment passes through layer and LeakyReLU unchanged. Normalisation layers get
    weight 1 and bias 0. A module with a method ``after_kaiming`` then corrects its own weights: a
    sum of several layers, or an output that starts near 0.

    Args:
        module: Network, changed in place.
        negative_slope: ``a``, of the LeakyReLU that follows the layers.
        generator: Random generator; torch's global one by default.

    Returns:
        The module.

    Source:
        He, Zhang, Ren, Sun, "Delving deep into rectifiers", 2015, equation 15;
        docs/methods/gan3d_sr_denoise.md, "Optimisation". The published code draws its critic's
        weights with variance 1 (there, "What the published code does otherwise"), which starts with
        logits of 30.
    """
    with torch.no_grad():
        for child in module.modules():
            if isinstance(child, _LAYERS):
                std = math.sqrt(2 / ((1 + negative_slope**2) * _fan_in(child)))
                child.weight.normal_(0, std, generator=generator)
                if child.bias is not None:
                    child.bias.zero_()
            elif _is_norm(child):
                nn.init.ones_(child.weight)  # type: ignore[arg-type]
                nn.init.zeros_(child.bias)  # type: ignore[arg-type]
        # A second pass: modules() names a module before its parts, whose weights it corrects.
        for child in module.modules():
            correct = getattr(child, "after_kaiming", None)
            if callable(correct):
                correct()
    return module


def _fan_in(layer: nn.Module) -> float:
    """Return the fan-in of a layer, on average over its outputs."""
    weight = layer.weight
    if not isinstance(weight, torch.Tensor):
        raise TypeError(f"weight of {type(layer).__name__} is no tensor")
    if isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d):
        inputs = weight.shape[0] // layer.groups
        return inputs * math.prod(layer.kernel_size) / math.prod(layer.stride)
    return math.prod(weight.shape[1:])


def _is_norm(module: nn.Module) -> bool:
    """Return True if a module is a normalisation with weight and bias."""
    # By name: torch's normalisations have no class in common.
    name = type(module).__name__
    return "Norm" in name and getattr(module, "weight", None) is not None
