"""Match the volumes of a scan to the measurements of a model, and order them so."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from numpy.typing import NDArray
from torch import Tensor

from custom.errors import InputError
from custom.networks.stored_protocol import StoredProtocol
from custom.physics.diffusion.gradient_table import (
    UNWEIGHTED_UP_TO,
    GradientTable,
    read_gradient_table,
    tables_of,
)
from custom.physics.diffusion.tensor import tensor_matrices

__all__ = ["VolumesBackd", "VolumesInOrderd", "match_volumes"]

_LEAST_B = 100.0  # s/mm²; below it a tolerance in percent would be finer than tables are rounded


def match_volumes(
    table: GradientTable,
    b_rows: Tensor,
    b_tolerance: float = 0.05,
    direction_tolerance_deg: float = 5.0,
) -> NDArray[np.intp]:
    r"""Return the volume of a scan for each measurement of a model.

    The assignment has the smallest sum of distances :math:`\|b\,gg^T - b'\,g'g'^T\|`, so neither
    the order of the volumes nor the sign of a direction matters. Equal volumes keep their order.

    Args:
        table: Gradient table of the scan.
        b_rows: b-matrix rows of the model, ``(M, 6)``.
        b_tolerance: Largest difference of a b-value, as a share of the model's (of 100 s/mm² at
            least).
        direction_tolerance_deg: Largest angle between directions, for weighted volumes.

    Returns:
        ``order``, ``(M,)``: volume ``order[k]`` is measurement ``k``.

    Raises:
        InputError: If the numbers differ, or a volume matches no measurement; names the worst.
    """
    if len(table) != len(b_rows):
        raise InputError(f"{len(table)} volumes, but the model was trained for {len(b_rows)}")
    from scipy.optimize import linear_sum_assignment

    scan, model = (_matrices(rows) for rows in (table.b_rows, b_rows))
    distance = np.linalg.norm(model[:, None] - scan[None], axis=(2, 3))
    place = np.arange(len(scan))
    apart = np.abs(place[:, None] - place[None]) / len(scan)
    # A nudge far below real distances (b is about 1 here) keeps equal volumes in their order.
    order = np.asarray(linear_sum_assignment(distance + 1e-7 * apart)[1])
    _check_pairs(scan[order], model, order, b_tolerance, direction_tolerance_deg)
    return order


def _check_pairs(
    scan: NDArray[np.float64],
    model: NDArray[np.float64],
    order: NDArray[np.intp],
    b_tolerance: float,
    direction_tolerance_deg: float,
) -> None:
    """Raise if a volume does not match its measurement."""
    # b is the trace of b g g^T; 1 ms/µm² is 1000 s/mm².
    found, wanted = (1000 * np.trace(b, axis1=1, axis2=2) for b in (scan, model))
    b_off = np.abs(found - wanted) / np.maximum(wanted, _LEAST_B)
    # The direction of an unweighted volume means nothing.
    angle = np.where(np.minimum(found, wanted) > UNWEIGHTED_UP_TO, _angles_deg(scan, model), 0.0)
    odd = (b_off > b_tolerance) | (angle > direction_tolerance_deg)
    if not odd.any():
        return
    worst = int(np.argmax(np.where(odd, np.linalg.norm(scan - model, axis=(1, 2)), -1)))
    if b_off[worst] > b_tolerance:
        what = f"b = {found[worst]:.0f} s/mm², the nearest of the model's {wanted[worst]:.0f}"
    else:
        what = f"its direction is {angle[worst]:.1f} degrees off the nearest of the model's"
    raise InputError(
        f"{int(odd.sum())} of {len(order)} volumes are like none that the model was trained for "
        f"(worst is volume {order[worst]}: {what})"
    )


def _matrices(rows: Tensor) -> NDArray[np.float64]:
    """Return ``b g g^T`` in ms/µm², ``(M, 3, 3)``, of rows whose last three numbers are doubled."""
    single = rows.double() * torch.tensor([1.0, 1.0, 1.0, 0.5, 0.5, 0.5], dtype=torch.float64)
    return np.asarray(tensor_matrices(single))


def _angles_deg(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the angles between the directions, ``(M,)``, whatever their signs."""
    # b g g^T has one eigenvalue above 0, the last; its vector is g, but for the sign.
    first, second = (np.linalg.eigh(matrices)[1][:, :, -1] for matrices in (one, other))
    cosine = np.abs(np.einsum("mi,mi->m", first, second))
    return np.asarray(np.rad2deg(np.arccos(np.clip(cosine, 0, 1))))


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
