"""Networks of diffusion signals to compare, each with its weights."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from custom.analysis.dwi.estimators import network_estimator
from custom.errors import InputError
from custom.networks.saved_weights import load_weights
from custom.physics.diffusion.gradient_table import GradientTable
from custom.report.training_curves import Curves, read_curves

__all__ = ["ComparedNetwork", "usable_networks"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ComparedNetwork:
    """A network with its name.

    Attributes:
        name: Name in tables and figures.
        network: The network.
        checkpoint: Its weights; None: the network holds them already.
        metrics: The ``metrics.csv`` of its training, for the loss curves, if it exists.
    """

    name: str
    network: nn.Module
    checkpoint: str | Path | None = None
    metrics: str | Path | None = None

    def curves(self) -> Curves | None:
        """Return the curves of its training, if there are some.

        Without the held-out error of a network that gives tensors: it is in other units.
        """
        if self.metrics is None or not Path(self.metrics).is_file():
            return None
        found = read_curves(self.metrics)
        of_signal = getattr(self.network, "of_signal", True)
        return {name: curve for name, curve in found.items() if of_signal or name != "val_mse"}


def usable_networks(
    networks: Sequence[ComparedNetwork], table: GradientTable
) -> dict[str, ComparedNetwork]:
    """Load the weights of networks; those without, or for another protocol, are left out.

    A warning says which.

    Args:
        networks: The networks.
        table: The protocol of the signals.

    Returns:
        Name to network.

    Raises:
        InputError: If a name is given twice.
    """
    names = [item.name for item in networks]
    if len(set(names)) < len(names):
        raise InputError(f"networks must have names of their own, one of {names} is there twice")
    found: dict[str, ComparedNetwork] = {}
    for item in networks:
        try:
            if item.checkpoint is not None:
                load_weights(item.checkpoint, item.network)
            network_estimator(item.network, table)
        except ValueError as error:
            logger.warning("%s is left out of the signal diagnostics: %s", item.name, error)
            continue
        found[item.name] = item
    return found
