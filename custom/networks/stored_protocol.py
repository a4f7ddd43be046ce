"""Protocol and scale rule that a network of diffusion signals is trained for, in its state dict."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from custom.errors import InputError
from custom.networks.saved_weights import MADE_AS, read_weights
from custom.physics.diffusion.error_scales import ErrorScales
from custom.physics.diffusion.noise_estimate import SCALE_RULES, ScaleRule

__all__ = [
    "B_ROWS",
    "SCALE_RULE",
    "StoredProtocol",
    "TrainedFor",
    "is_peer",
    "keep_protocol",
    "read_protocol",
    "set_protocol",
    "stored_measurements",
]

B_ROWS, SCALE_RULE = "b_rows", "scale_rule"

_SAME_ROWS = 1e-3  # ms/µm²: largest difference between rows of the same protocol


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
    # As numbers: a buffer holds no names.
    network.register_buffer(SCALE_RULE, torch.zeros((), dtype=torch.int64))
    network.register_buffer(MADE_AS, torch.tensor(made_as))


def set_protocol(network: nn.Module, simulation: TrainedFor) -> None:
    """Set the buffers of :func:`keep_protocol`.

    Raises:
        ValueError: If the network was made for another number of measurements.
    """
    buffers = dict(network.named_buffers(recurse=False))
    if buffers[B_ROWS].shape != simulation.b_rows.shape:
        raise ValueError(
            f"num_measurements must be that of the protocol, {len(simulation.b_rows)}, got "
            f"{len(buffers[B_ROWS])}"
        )
    buffers[B_ROWS].copy_(simulation.b_rows)
    buffers[SCALE_RULE].fill_(SCALE_RULES.index(simulation.scale_rule))


@dataclass(frozen=True)
class StoredProtocol:
    """Protocol and scale rule of a network of diffusion signals."""

    b_rows: Tensor  # ``(M, 6)``, see :func:`custom.physics.diffusion.tensor.b_matrix`
    scale_rule: ScaleRule  # unit of its signals


def read_protocol(path: str | Path) -> StoredProtocol:
    """Read the buffers of :func:`keep_protocol` from saved weights.

    Args:
        path: A bare state dictionary, or a checkpoint that holds one under ``model``.

    Raises:
        InputError: If the file is missing, no file of weights, or holds no protocol.
    """
    state = read_weights(path)
    b_rows: Any = state.get(B_ROWS)
    rule: Any = state.get(SCALE_RULE)
    if not _is_table(b_rows) or not _is_rule(rule):
        raise InputError(
            f"checkpoint {path} does not say which protocol it was trained for ({B_ROWS}, "
            f"{SCALE_RULE}): give the weights of a network of diffusion signals"
        )
    return StoredProtocol(b_rows.float(), SCALE_RULES[int(rule)])


def stored_measurements(path: str | Path) -> int:
    """Return the number of measurements that saved weights were trained for.

    Raises:
        InputError: As :func:`read_protocol`.
    """
    return len(read_protocol(path).b_rows)


def is_peer(path: str | Path, model: str | Path) -> bool:
    """Return True if the network of weights can restore the same scans as a model.

    The weights must exist, not be the model's own, and have been trained for the same measurements
    in the same order and with the same scale rule.

    Raises:
        InputError: As :func:`read_protocol`.
    """
    if not Path(path).is_file() or Path(path).resolve() == Path(model).resolve():
        return False
    peer, own = read_protocol(path), read_protocol(model)
    return (
        peer.scale_rule == own.scale_rule
        and peer.b_rows.shape == own.b_rows.shape
        and torch.allclose(peer.b_rows, own.b_rows, rtol=0.0, atol=_SAME_ROWS)
    )


def _is_table(value: Any) -> bool:
    """Return True if a value can be the rows of b-matrices."""
    if not torch.is_tensor(value) or value.ndim != 2 or value.shape[1] != 6 or len(value) == 0:
        return False
    return bool(torch.isfinite(value).all())


def _is_rule(value: Any) -> bool:
    """Return True if a value is the number of a rule."""
    return torch.is_tensor(value) and value.numel() == 1 and int(value) in range(len(SCALE_RULES))
