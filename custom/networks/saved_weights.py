"""Load saved weights into a network; a file that does not fit is a one-line error."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from custom.errors import InputError

__all__ = ["MADE_AS", "load_weights", "read_weights"]

# Name of the buffer that distinguishes variants whose weights have the same shapes.
MADE_AS = "made_as"


def read_weights(
    path: str | Path, map_location: str | torch.device = "cpu", setting: str = "--checkpoint"
) -> Mapping[str, Any]:
    """Return a bare state dictionary, or that of a checkpoint; see :func:`load_weights`.

    Raises:
        InputError: If the file is missing, unreadable, or holds something else.
    """
    if not Path(path).is_file():
        raise InputError(f"checkpoint {path} does not exist: train first, or give {setting}")
    try:
        content: Any = torch.load(path, map_location=map_location, weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged file
        raise _damaged(path) from error
    if not isinstance(content, Mapping):
        raise _damaged(path)
    state = content.get("model", content)
    if not isinstance(state, Mapping):
        raise _other(path)
    return state


def load_weights(
    path: str | Path,
    network: nn.Module,
    map_location: str | torch.device = "cpu",
    setting: str = "--checkpoint",
) -> None:
    """Load a bare state dictionary, or that of a checkpoint, into a network.

    Args:
        path: ``model.pt``, or ``last.pt``, which holds the weights under ``model``. Only tensors
            and plain containers are read from it (``weights_only``), never code.
        network: The network, changed in place.
        map_location: Device to load to.
        setting: Option by which the user names the file, for the messages.

    Raises:
        InputError: If the file is missing, unreadable, holds weights of another network, or
            numbers that are not finite.
    """
    state = read_weights(path, map_location, setting)
    # First: weights of another variant with the same shapes would load without an error.
    own, given = network.state_dict().get(MADE_AS), state.get(MADE_AS)
    if own is not None and torch.is_tensor(given) and not torch.equal(own.cpu(), given.cpu()):
        raise _other(path)
    try:
        network.load_state_dict(state)
    except Exception as error:  # RuntimeError for other shapes, other types for values not tensors
        raise _other(path) from error
    if not all(bool(torch.isfinite(values).all()) for values in network.state_dict().values()):
        raise InputError(
            f"checkpoint {path} holds numbers that are not finite: its training diverged, give "
            "another one"
        )


def _damaged(path: str | Path) -> InputError:
    """Return the error for a file that holds no weights."""
    return InputError(f"checkpoint {path} is damaged or not a file of weights: give another one")


def _other(path: str | Path) -> InputError:
    """Return the error for weights of another network."""
    return InputError(
        f"checkpoint {path} does not fit the network: give the configs (--config) it was trained "
        "with"
    )
