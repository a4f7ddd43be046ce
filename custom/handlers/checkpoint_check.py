"""Load the weights to evaluate, and say in one line why that is not possible."""

from __future__ import annotations

from pathlib import Path

from ignite.engine import Engine
from monai.handlers import CheckpointLoader
from torch import nn

from custom.errors import InputError

__all__ = ["CheckedCheckpointLoader"]


class CheckedCheckpointLoader(CheckpointLoader):
    """MONAI's checkpoint loader for one network, with errors that a user can act on.

    Reads a bare state dictionary (``model.pt``) as well as a training checkpoint that holds one
    under ``model`` (``last.pt``), always with ``weights_only=True``.

    Args:
        load_path: The checkpoint.
        network: The network to fill.
        map_location: Device to load to.

    Raises:
        InputError: When the engine starts, if the file is missing, unreadable, or holds weights
            of another network.
    """

    def __init__(
        self, load_path: str | Path, network: nn.Module, map_location: str = "cpu"
    ) -> None:
        # A device in MONAI's annotation is a dictionary, but torch.load takes a name as well.
        super().__init__(str(load_path), {"model": network}, map_location=map_location)  # type: ignore[arg-type]

    def __call__(self, engine: Engine) -> None:
        """Load the weights."""
        path = self.load_path
        if not Path(path).is_file():
            raise InputError(f"checkpoint {path} does not exist: train first, or give --checkpoint")
        try:
            super().__call__(engine)
        except Exception as error:  # torch raises many kinds for a damaged file
            # A torn archive and weights that do not fit are both a RuntimeError.
            fault, remedy = (
                ("does not fit the network", "give the configs (--config) it was trained with")
                if "state_dict" in str(error)
                else ("is damaged or not a file of weights", "give another one")
            )
            raise InputError(f"checkpoint {path} {fault}: {remedy}") from error
