"""Protocol and scale rule of a network of diffusion signals, as buffers of its state dict."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from custom.errors import InputError
from custom.networks.saved_weights import MADE_AS
from custom.physics.diffusion.error_scales import ErrorScales
from custom.physics.diffusion.noise_estimate import SCALE_RULES, ScaleRule

__all__ = ["B_ROWS", "SCALE_RULE", "TrainedFor", "keep_protocol", "set_protocol"]

B_ROWS, SCALE_RULE = "b_rows", "scale_rule"


class TrainedFor(Protocol):
    """The simulation that a network was trained on."""

    b_rows: Tensor
    scale_rule: ScaleRule

    @property
    def error_scales(self) -> ErrorScales:
        """Scales of errors, and moments of the prior."""
        ...


def keep_protocol(network: nn.Module, num_measurements: int, made_as: int) -> None:
    """Give a network the buffers ``b_rows`` ``(M, 6)`` and ``scale_rule`` ``()``, not yet set.

    The weights are wrong for another protocol, or for signals scaled in another way; these buffers
    let the inferer refuse them. ``made_as`` distinguishes variants whose weights have the same
    shapes: :func:`custom.networks.saved_weights.load_weights` refuses those of another variant.

    Args:
        network: The network.
        num_measurements: ``M``.
        made_as: Number of the variant.
    """
    network.register_buffer(B_ROWS, torch.zeros(num_measurements, 6))
    network.register_buffer(SCALE_RULE, torch.zeros((), dtype=torch.int64))
    network.register_buffer(MADE_AS, torch.tensor(made_as))


def set_protocol(network: nn.Module, simulation: TrainedFor) -> None:
    """Set the buffers of :func:`keep_protocol`.

    Raises:
        InputError: If the network was made for another number of measurements.
    """
    buffers = dict(network.named_buffers(recurse=False))
    if buffers[B_ROWS].shape != simulation.b_rows.shape:
        raise InputError(
            f"num_measurements must be that of the protocol, {len(simulation.b_rows)}, got "
            f"{len(buffers[B_ROWS])}"
        )
    buffers[B_ROWS].copy_(simulation.b_rows)
    buffers[SCALE_RULE].fill_(SCALE_RULES.index(simulation.scale_rule))
