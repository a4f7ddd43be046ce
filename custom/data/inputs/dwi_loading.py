"""Order the volumes of a loaded diffusion series as the model was trained for."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from custom.data.inputs.protocol_matching import match_volumes
from custom.errors import InputError
from custom.networks.stored_protocol import StoredProtocol
from custom.physics.diffusion.gradient_table import read_gradient_table, tables_of

__all__ = ["VolumesBackd", "VolumesInOrderd"]


class VolumesInOrderd(MapTransform):
    """Order volumes as the model's measurements, and keep the scan's gradient table.

    Adds ``bval`` and ``bvec``, the paths of the tables; ``volume_order``, ``(M,)``, the volume of
    the scan for each measurement of the model; and, in the model's order, the scan's ``b_rows``,
    ``(M, 6)``, and ``unweighted``, ``(M,)``.

    Args:
        keys: Series to order.
        protocol: Protocol that the model was trained for.
        bval: File of b-values to use instead of the one beside the scan.
        bvec: File of directions to use instead of the one beside the scan.
        b_tolerance: See :func:`custom.data.inputs.protocol_matching.match_volumes`.
        direction_tolerance_deg: See there.
        remedy: Advice to the user if the tables are not the model's.

    Shape:
        ``(M, X, Y, Z)``.

    Raises:
        InputError: At the call, if the tables cannot be read or are not the model's.
    """

    def __init__(
        self,
        keys: KeysCollection,
        protocol: StoredProtocol,
        bval: str | Path | None = None,
        bvec: str | Path | None = None,
        b_tolerance: float = 0.05,
        direction_tolerance_deg: float = 5.0,
        remedy: str = "",
    ) -> None:
        super().__init__(keys)
        self.protocol = protocol
        self.bval, self.bvec = bval, bvec
        self.b_tolerance = b_tolerance
        self.direction_tolerance_deg = direction_tolerance_deg
        self.remedy = f": {remedy}" if remedy else ""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Order the volumes."""
        result = dict(data)
        files = tables_of(data["source"], self.bval, self.bvec)
        table = read_gradient_table(*files)
        tolerances = self.b_tolerance, self.direction_tolerance_deg
        try:
            order = match_volumes(table, self.protocol.b_rows, *tolerances)
        except InputError as error:
            raise InputError(f"{data['source']}: {error}{self.remedy}") from error
        for key in self.key_iterator(result):
            result[key] = data[key][torch.from_numpy(order)]
        ordered = table.select(order)
        result |= dict(zip(("bval", "bvec"), map(str, files), strict=True))
        result["volume_order"] = torch.from_numpy(order)
        result["b_rows"] = ordered.b_rows
        result["unweighted"] = torch.from_numpy(ordered.unweighted)
        return result


class VolumesBackd(MapTransform):
    """Invert :class:`VolumesInOrderd`, for the series and for images derived from it.

    Shape:
        ``(M, X, Y, Z)``.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Order the volumes."""
        result = dict(data)
        back = torch.argsort(torch.as_tensor(data["volume_order"]))
        for key in self.key_iterator(result):
            result[key] = data[key][back.to(data[key].device)]
        return result
