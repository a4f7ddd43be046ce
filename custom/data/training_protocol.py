"""The gradient table that a training simulates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from custom.data.gradient_table import GradientTable, read_gradient_table, tables_beside
from custom.errors import InputError

__all__ = ["training_protocol"]


def training_protocol(
    bval: str | Path | None,
    bvec: str | Path | None,
    datalist: Mapping[str, Sequence[Mapping[str, Any]]],
) -> GradientTable:
    """Return the table that is named, or that of the first training scan of a dataset.

    Args:
        bval: File of b-values, or None.
        bvec: File of directions, or None.
        datalist: Of :func:`custom.data.datalist.load_datalist`.

    Raises:
        InputError: If only one file is named, a file cannot be used, or no scan is there to take it from.
    """
    if (bval is None) != (bvec is None):
        raise InputError("give both, --bval FILE and --bvec FILE, or neither")
    if bval is not None and bvec is not None:
        return read_gradient_table(bval, bvec)
    if not datalist.get("training"):
        raise InputError("the dataset has no training scan: name its tables by bval and bvec")
    return read_gradient_table(*tables_beside(datalist["training"][0]["image"]))
