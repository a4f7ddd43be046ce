"""Postprocessing of a restored diffusion series: physical bounds, unweighted volumes, maps."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from torch import Tensor

__all__ = ["DwiMapsd", "KeepUnweightedd", "PhysicalBoundsd"]

logger = logging.getLogger(__name__)


class PhysicalBoundsd(MapTransform):
    """Set negative restored values to 0, and count values that are physically impossible.

    Adds ``values_below_zero``, which were cut, and ``values_above_s0``: weighted values above both
    the scale of their voxel and its restored unweighted signal, which stay as they are. Only voxels
    of ``image_mask`` count. The series is in the order of ``unweighted``.

    Shape:
        ``(M, X, Y, Z)``; mask and scale: ``(1, X, Y, Z)``.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Cut and count."""
        result = dict(data)
        for key in self.key_iterator(result):
            series = data[key]
            mask, scale = (
                torch.as_tensor(data[f"image_{name}"]).as_subclass(Tensor)[0]
                for name in ("mask", "scale")
            )
            mask = mask.to(series.device)
            values = series.as_subclass(Tensor)[:, mask]  # NaN stays NaN, so that it is noticed
            unweighted = torch.as_tensor(data["unweighted"]).to(series.device)
            highest = scale.to(series.device)[mask]
            if unweighted.any():
                highest = torch.maximum(highest, values[unweighted].mean(0))
            result["values_below_zero"] = int((values < 0).sum())
            result["values_above_s0"] = int((values[~unweighted] > highest).sum())
            series = series.clone()
            series[:, mask] = values.clamp_min(0)
            result[key] = series
            _log(result, values.numel())
        return result


class KeepUnweightedd(MapTransform):
    """Keep the input's unweighted volumes, for programs that correct distortions by them.

    The ``spread``, if there is one, is 0 there.

    Args:
        keys: The restored series.
        keep: Whether anything is done.

    Shape:
        ``(M, X, Y, Z)``.
    """

    def __init__(self, keys: KeysCollection, keep: bool = True) -> None:
        super().__init__(keys)
        self.keep = keep

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Put the volumes back in."""
        result = dict(data)
        for key in self.key_iterator(result) if self.keep else ():
            kept = torch.as_tensor(data["unweighted"]).to(data[key].device)
            restored = data[key].clone()
            restored[kept] = data["image"][kept].to(restored)
            result[key] = restored
            if "spread" in data:
                deviation = data["spread"].clone()
                deviation[kept] = 0.0
                result["spread"] = deviation
        return result


class DwiMapsd(MapTransform):
    """Make the maps that are written beside a restored series.

    ``noise``: its level, in the unit of the image; ``residual``: input minus restored series;
    ``mask``: the restored voxels, as bytes.

    Args:
        keys: The restored series.
        write: Whether anything is done.

    Shape:
        ``(M, X, Y, Z)``; maps: ``(1, X, Y, Z)``.
    """

    def __init__(self, keys: KeysCollection, write: bool = True) -> None:
        super().__init__(keys)
        self.write = write

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Make the maps."""
        result = dict(data)
        for key in self.key_iterator(result) if self.write else ():
            mask, scale, sigma = (data[f"image_{name}"] for name in ("mask", "scale", "sigma"))
            result["noise"] = scale * sigma
            result["residual"] = data["image"].to(data[key].device) - data[key]
            result["mask"] = mask.to(torch.uint8)
        return result


def _log(result: Mapping[Hashable, Any], count: int) -> None:
    """Log the number of physically impossible values."""
    if result["values_below_zero"] or result["values_above_s0"]:
        logger.info(
            "%s: of %d restored values %d were below 0 and are 0 now, %d are above S0 and stay",
            Path(str(result.get("source", "scan"))).name,
            count,
            result["values_below_zero"],
            result["values_above_s0"],
        )
