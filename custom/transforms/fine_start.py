"""A network's input on the fine grid: a classical restoration, and what is known of the scan."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Randomizable
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool3d, interpolate, pad

from custom.physics.acquisition import axis_scales
from custom.physics.deconvolution import deconvolved
from custom.physics.downsampling import (
    Degradation,
    Scale,
    acquired_as,
    check_degradation,
    grid_offset,
    high_affine,
)
from custom.physics.noise_level import local_noise_level
from custom.transforms.noise_level import noise_level
from custom.transforms.volume_resolution import ACQUIRED

__all__ = ["FineStartd"]

logger = logging.getLogger(__name__)

_HOT = 5.0  # mean foregrounds; beyond, no tissue, which would ring through the volume
_KNOWN_OPERATOR = 0.6  # share of the training patches whose operator the network is told
_KNOWN_LEVEL = 0.5  # share whose noise level it is told; of the others it is estimated
_MISTOLD = 0.1  # deviation of the logarithm of a told level


class FineStartd(Randomizable, MapTransform):
    """Bring volumes to the fine grid, with channels that say how they were acquired.

    The channels are those of :class:`~custom.networks.nets.fine_grid_unet.FineGridUNet`: the volume
    deconvolved by Wiener's filter, the volume zero-filled, the noise level of every voxel, and 1
    where the operator is known, else 0. An unknown operator is taken for plain k-space truncation.
    What makes voxels brighter than any tissue is taken off before and repeated on their fine voxels
    after: a sinc would ring from it.

    In training :class:`~custom.transforms.volume_resolution.AcquireVolumed` leaves how each patch
    was made; it is drawn what of it the network is told.

    Args:
        keys: Volumes on the acquired grid, divided by the mean of their foreground.
        degradation: Which grid theirs is.
        acquired_by: Operator that made them; ``acquired``: unknown.
        scale: How many times finer the fine grid is: one number, or one an axis.
        sigma: Deviation of the noise of one channel in the unit of the image; None: estimated.

    Shape:
        ``(1, D, H, W)``; output ``(4, ...)``, each axis so many times longer. The volume itself is
        kept as ``measured``.

    Raises:
        ValueError: If an argument is out of its range; or for a grid that shares voxel 0.
    """

    def __init__(
        self,
        keys: KeysCollection,
        degradation: Degradation = "acquired",
        acquired_by: Degradation = "acquired",
        scale: Scale = 2,
        sigma: float | None = None,
    ) -> None:
        super().__init__(keys)
        for setting, name in (("degradation", degradation), ("acquired_by", acquired_by)):
            factors = sorted(check_degradation(name, scale, setting))
            if grid_offset(name) == 0:
                raise ValueError(
                    f"{setting} must be one whose grids fill the same box, as acquired, got "
                    f"{name}: for kspace and nearest train a generator (--config gan)"
                )
        if factors[0] < factors[2] and not (factors[:2] == [1, 1] and factors[2] <= 5):
            raise ValueError(
                f"scale must be a number, or 1, 1 and 2 to 5 in any order, got {scale}"
            )
        if sigma is not None and not sigma >= 0:
            raise ValueError(f"sigma must not be negative, got {sigma}")
        self.degradation, self.acquired_by = degradation, acquired_by
        self.scale, self.sigma = scale, sigma

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace the volumes."""
        result = dict(data)
        for key in self.key_iterator(result):
            volume = data[key]
            low = torch.as_tensor(volume).as_subclass(Tensor).float()
            made = result.pop(f"{key}{ACQUIRED}", None)
            if made is not None:
                result[key] = self._drawn(low, made)
                continue
            unit = float(data.get(f"{key}_scale", 1.0))
            level, typical = noise_level(low, self.sigma, unit, result)
            known = self.acquired_by != "acquired"
            operator = acquired_as(self.acquired_by)
            fine = _channels(low, operator, self.scale, typical, level, known)
            result[key] = fine
            result["measured"] = volume
            if isinstance(volume, MetaTensor):
                affine = high_affine(volume.affine, self.degradation, self.scale)
                result[key] = MetaTensor(fine, meta=volume.meta)
                result[key].affine = affine
        return result

    def _drawn(self, low: Tensor, made: Mapping[str, Any]) -> Tensor:
        """Return the channels of a training patch, on the whole of its reference's grid."""
        known = self.R.uniform() < _KNOWN_OPERATOR
        if self.R.uniform() < _KNOWN_LEVEL:
            typical = made["noise"] * float(self.R.lognormal(0, _MISTOLD))
            level = torch.full_like(low, typical)
        else:
            level = local_noise_level(low[0])[None]
            typical = float(level.median())
        operator, share = (made["operator"], made["share"]) if known else ("kspace", 0.5)
        fine = _channels(low, operator, made["scale"], typical, level, known, share)
        missing = [n - m for n, m in zip(made["shape"][::-1], fine.shape[:0:-1], strict=True)]
        return pad(fine[None], [e for n in missing for e in (0, n)], mode="replicate")[0]


def _channels(
    low: Tensor,
    operator: str,
    scale: Scale,
    sigma: float,
    level: Tensor,
    known: bool,
    share: float = 0.5,
) -> Tensor:
    """Return the four channels, of a volume of mean foreground 1."""
    scales = axis_scales(scale)
    tissue, hot = _without_hot(low)
    values: NDArray[np.float32] = tissue[0].cpu().numpy()
    fine = [
        deconvolved(values, operator, scales, sigma, share),
        deconvolved(values, "kspace", scales),
    ]
    made = torch.from_numpy(np.stack(fine)).to(low)
    size = list(made.shape[1:])
    if hot.any():
        made += interpolate(hot[None], size=size, mode="nearest")[0]
    told = interpolate(level[None].to(low), size=size, mode="nearest")[0]
    return torch.cat([made, told, torch.full_like(told, float(known))])


def _without_hot(low: Tensor) -> tuple[Tensor, Tensor]:
    """Return a volume whose hot voxels are as their surroundings, and what was taken off them."""
    hot = low.abs() > _HOT
    if not hot.any():
        return low, torch.zeros_like(low)
    kept = torch.where(hot, torch.zeros_like(low), low)
    near = avg_pool3d(kept, 3, 1, 1)
    share = avg_pool3d((~hot).to(low), 3, 1, 1)
    tissue = torch.where(hot, near / share.clamp_min(1e-6), low)
    return tissue, low - tissue
