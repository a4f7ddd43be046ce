"""The gradient table that a training simulates."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from custom.errors import InputError
from custom.physics.diffusion.gradient_table import (
    GradientTable,
    read_gradient_table,
    tables_beside,
)

__all__ = ["training_protocol"]

logger = logging.getLogger(__name__)

_HIGHEST_OF_A_TENSOR = 2000.0  # s/mm²


def training_protocol(
    bval: str | Path | None,
    bvec: str | Path | None,
    datalist: Mapping[str, Sequence[Mapping[str, Any]]],
) -> GradientTable:
    """Return the given table, or that of the first training scan of a dataset.

    Args:
        bval: File of b-values, or None.
        bvec: File of directions, or None.
        datalist: Lists of scans, from :func:`custom.data.datasets.datalist.load_datalist`.

    Raises:
        InputError: If only one file is given, a file cannot be used, or the dataset has no training
            scan.
    """
    if (bval is None) != (bvec is None):
        raise InputError("give both, --bval FILE and --bvec FILE, or neither")
    if bval is not None and bvec is not None:
        return _told(read_gradient_table(Path(bval).expanduser(), Path(bvec).expanduser()))
    if not datalist.get("training"):
        raise InputError("the dataset has no training scan: name its tables by --bval and --bvec")
    image = datalist["training"][0]["image"]
    logger.info("no bval and bvec given: the protocol is that of %s", image)
    return _told(read_gradient_table(*tables_beside(image)))


def _told(table: GradientTable) -> GradientTable:
    """Log the protocol, and warn of b-values at which one tensor may not describe the signal."""
    # Scanners write b-values of one shell that differ by a few s/mm².
    shells = ", ".join(f"{value:g}" for value in sorted(set(table.bvals.round(-1).tolist())))
    logger.info("protocol: %d measurements, b = %s s/mm²", len(table), shells)
    if table.bvals.max() > _HIGHEST_OF_A_TENSOR:
        logger.warning(
            "b = %g s/mm²: beyond %g the signal of tissue is not that of a tensor",
            table.bvals.max(),
            _HIGHEST_OF_A_TENSOR,
        )
    return table
