"""Load saved weights into a network; a file that does not fit is a one-line error."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from custom.errors import InputError
from custom.networks.checkpoint_file import check_trained_for, read_checkpoint

__all__ = ["MADE_AS", "load_weights", "read_weights"]

# Name of the buffer that distinguishes variants whose weights have the same shapes.
MADE_AS = "made_as"


def read_weights(
    path: str | Path, map_location: str | torch.device = "cpu", setting: str = "--checkpoint"
) -> Mapping[str, Any]:
    """Return a bare state dictionary, or that of a checkpoint; see :func:`load_weights`.

    Raises:
        InputError: If the file is missing, unreadable, damaged, or holds something else.
    """
    if not Path(path).is_file():
        raise InputError(f"checkpoint {path} does not exist: train first, or give {setting}")
    content = read_checkpoint(path, map_location)
    if not isinstance(content, Mapping):
        raise InputError(f"checkpoint {path} is damaged or not a file of weights: give another one")
    state = content.get("model", content)
    if not isinstance(state, Mapping):
        raise _other(path)
    return state


def load_weights(
    path: str | Path,
    network: nn.Module,
    map_location: str | torch.device = "cpu",
    setting: str = "--checkpoint",
    trained_for: Mapping[str, Any] | None = None,
) -> None:
    """Load a bare state dictionary, or that of a checkpoint, into a network.

    Args:
        path: ``model.pt``, or ``last.pt``, which holds the weights under ``model``, as
            :func:`custom.networks.checkpoint_file.read_checkpoint` reads them.
        network: The network, left as it is if the weights are refused.
        map_location: Device to load to.
        setting: Option by which the user names the file, for the messages.
        trained_for: Settings that the weights must have been trained for.

    Raises:
        InputError: If the file is missing, unreadable, damaged, holds weights of another network or
            for other settings, or numbers that are not finite.
    """
    state = read_weights(path, map_location, setting)
    if trained_for is not None:
        check_trained_for(path, trained_for)
    own = network.state_dict()
    # First: torch would load other types, and those of another variant with the same shapes.
    if not all(torch.is_tensor(state[name]) for name in own.keys() & state.keys()):
        raise _other(path)
    if any(state[name].dtype != own[name].dtype for name in own.keys() & state.keys()):
        raise _other(path)
    if MADE_AS in own.keys() & state.keys() and not own[MADE_AS].cpu().equal(state[MADE_AS].cpu()):
        raise _other(path)
    if not all(map(_is_finite, state.values())):
        raise InputError(
            f"checkpoint {path} holds numbers that are not finite: its training diverged, give "
            "another one"
        )
    try:
        network.load_state_dict(state)
    except Exception as error:  # RuntimeError for other shapes, other types for values not tensors
        raise _other(path) from error


def _is_finite(values: Any) -> bool:
    """Return True if a tensor has finite numbers only; what is no tensor counts as finite."""
    return not torch.is_tensor(values) or bool(torch.isfinite(values).all())


def _other(path: str | Path) -> InputError:
    """Return the error for weights of another network."""
    return InputError(
        f"checkpoint {path} does not fit the network: give the configs (--config) it was trained "
        "with"
    )
