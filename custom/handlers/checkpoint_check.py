"""Load the weights to evaluate when the engine starts."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import nn

from custom.networks.saved_weights import load_weights

__all__ = ["CheckedCheckpointLoader"]

logger = logging.getLogger(__name__)


class CheckedCheckpointLoader:
    """MONAI's checkpoint loader for one network, with errors that a user can act on.

    Reads a bare state dictionary (``model.pt``) as well as a training checkpoint that holds one
    under ``model`` (``last.pt``), always with ``weights_only=True``.

    Args:
        load_path: The checkpoint.
        network: The network to fill.
        map_location: Device to load to.
        trained_for: Settings that the weights must have been trained for, by name, as their
            training stored them (:class:`custom.handlers.standard_training.StandardTraining`);
            None: nothing is compared.

    Raises:
        InputError: When the engine starts, if the file is missing, unreadable, damaged, or holds
            weights of another network or for other settings.
    """

    def __init__(
        self,
        load_path: str | Path,
        network: nn.Module,
        map_location: str | torch.device = "cpu",
        trained_for: Mapping[str, Any] | None = None,
    ) -> None:
        self.load_path = load_path
        self.network = network
        self.map_location = map_location
        self.trained_for = trained_for

    def attach(self, engine: Engine) -> None:
        """Load when the engine starts."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Load the weights."""
        load_weights(self.load_path, self.network, self.map_location, trained_for=self.trained_for)
        logger.info("weights: %s", self.load_path)
