"""Noise of a known level for training and evaluation, and the level as a channel of the input."""

from __future__ import annotations

import logging
import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Randomizable
from torch import Tensor

from custom.errors import InputError
from custom.physics.acquisition import rician
from custom.physics.intensity_statistics import otsu_threshold
from custom.physics.noise_level import local_noise_level, slice_noise_level, slice_noise_table
from custom.setting_checks import check_above_zero
from custom.transforms.volume_resolution import names_of_copies, text_seed

__all__ = ["NoiseLevelChanneld", "NoisierScand", "RicianNoised", "noise_level"]

logger = logging.getLogger(__name__)

_TOLD = "_told_noise"  # suffix of the key of a map
_SLOPE = 0.5  # most that the level changes from the middle of a patch to its face
_MISTOLD = 0.1  # deviation of the logarithm of the told level: that of an estimate
_LEAKED = 0.35  # most of a voxel's noise that its neighbour has besides: filters of scanners


class RicianNoised(Randomizable, MapTransform):
    """Make noisy copies of volumes that were divided by the mean of their foreground.

    An item that states its level gets white noise of it, the same each time. Otherwise, in
    training, it is drawn between none and ``most``, as is whether it changes linearly through the
    patch, whether neighbours share some of it, and whether voxels of 0 stay 0, as where a brain was
    cut out; and the copy's map of levels is kept for :class:`NoiseLevelChanneld`, 10 % wrong.

    Args:
        keys: Volumes to copy.
        names: Key of each noisy copy.
        most: Deviation of the strongest noise of a channel, as a share of the mean foreground.
        level_key: Key of an item's level, in the same unit.

    Shape:
        ``(1, D, H, W)``; output the same.

    Raises:
        ValueError: If ``most`` is not positive, or there are not as many names as keys.
    """

    def __init__(
        self,
        keys: KeysCollection,
        names: KeysCollection,
        most: float = 0.12,
        level_key: str = "noise_level",
    ) -> None:
        super().__init__(keys)
        check_above_zero("most", most)
        self.names = names_of_copies(names, self.keys)
        self.most = most
        self.level_key = level_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add the noisy copies."""
        result = dict(data)
        for key, name in self.key_iterator(result, self.names):
            volume = data[key]
            if self.level_key in data:
                random = torch.Generator().manual_seed(text_seed(data.get("scan")))
                result[name] = rician(volume, float(data[self.level_key]), random)
            else:
                result[name], result[f"{name}{_TOLD}"] = self._drawn(volume)
        return result

    def _drawn(self, volume: Tensor) -> tuple[Tensor, Tensor]:
        """Return a volume with noise as it is drawn, and the level that the network is told."""
        random = torch.Generator().manual_seed(int(self.R.randint(2**31 - 1)))
        level = self.most * self.R.uniform() * (1 + self._slope(volume.shape[1:]))
        leak = max(0.0, self.R.uniform(-2 * _LEAKED, _LEAKED))
        noise = torch.randn((2, *volume.shape[1:]), generator=random)
        for axis in (1, 2, 3):
            noise = (noise + leak * (noise.roll(1, axis) + noise.roll(-1, axis))) / (
                1 + 2 * leak**2
            ) ** 0.5
        noisy = torch.hypot(volume + level * noise[:1], level * noise[1:])
        if self.R.uniform() < 0.5:
            noisy = torch.where(volume == 0, volume, noisy)
        return noisy, level.expand_as(volume) * float(self.R.lognormal(0, _MISTOLD))

    def _slope(self, shape: torch.Size) -> Tensor:
        """Return a linear change through a patch, 0 in its middle; in half of the draws none."""
        direction = torch.tensor(self.R.normal(size=3), dtype=torch.float32)
        direction *= max(0.0, self.R.uniform(-_SLOPE, _SLOPE)) / direction.norm()
        axes = torch.meshgrid(*(torch.linspace(-1, 1, size) for size in shape), indexing="ij")
        change: Tensor = sum(part * axis for part, axis in zip(direction, axes, strict=True))
        return change.clamp(-_SLOPE, _SLOPE)


class NoisierScand(Randomizable, MapTransform):
    r"""Give scans of known noise the noise of a drawn level.

    The level is ``k`` times that of a usual scan, ``k`` drawn evenly on a logarithmic scale, and

    .. math:: \sqrt{(k \sigma_\mathrm{nominal})^2 - \sigma^2}

    is added to both channels; a scan cannot lose noise, so one that has more stays as it is. Voxels
    of exactly 0, as programs set them outside a brain, stay 0.

    Args:
        keys: Scans on their acquired grid; one key.
        factors: Smallest and largest ``k``.
        fixed: Whether an item, named by ``scan`` and ``slice``, has the same draw each time, as a
            validation needs.

    Shape:
        ``(1, X, Y)``; output the same. ``noise_std`` and ``nominal_noise_std`` of the item are in
        its units; without them :func:`custom.physics.noise_level.slice_noise_level` is both.

    Raises:
        ValueError: If ``factors`` are not two positive numbers in order.
    """

    def __init__(
        self, keys: KeysCollection, factors: Sequence[float] = (0.3, 3.0), fixed: bool = False
    ) -> None:
        super().__init__(keys)
        check_above_zero("factors", min(factors))
        if len(factors) != 2 or factors[0] > factors[1]:
            raise ValueError(f"factors must be two numbers in order, got {tuple(factors)}")
        self.span = math.log(factors[0]), math.log(factors[1])
        self.fixed = fixed
        bright, expected = slice_noise_table()
        self.table = torch.tensor(bright), torch.tensor(expected)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add the noise."""
        result = dict(data)
        random = self.R
        if self.fixed:
            random = np.random.RandomState(text_seed(f"{data.get('scan')} {data.get('slice')}"))
        for key in self.key_iterator(result):
            scan = data[key]
            found = data.get("noise_std")
            if found is None:
                found = slice_noise_level(scan.as_subclass(Tensor)[None], *self.table)
            own = float(found)
            wanted = math.exp(random.uniform(*self.span)) * float(
                data.get("nominal_noise_std", own)
            )
            generator = torch.Generator().manual_seed(int(random.randint(2**31 - 1)))
            noisy = rician(scan, math.sqrt(max(0.0, wanted**2 - own**2)), generator)
            result[key] = torch.where(scan == 0, scan, noisy)
        return result


class NoiseLevelChanneld(MapTransform):
    """Append the noise level of every voxel to volumes, as their second channel.

    What :class:`RicianNoised` drew in training; else ``sigma`` where it is given; else the estimate
    of :func:`custom.physics.noise_level.local_noise_level`. The volume itself is kept as
    ``original``; ``noise_level``, the median in the tissue in the unit of the image, and
    ``noise_source`` are for the record.

    Args:
        keys: Volume, divided by ``f"{key}_scale"``; one key.
        sigma: Deviation of the noise of one channel in the unit of the image; None: estimated.

    Shape:
        ``(1, D, H, W)``; output ``(2, D, H, W)``.

    Raises:
        ValueError: If ``sigma`` is negative.
    """

    def __init__(self, keys: KeysCollection, sigma: float | None = None) -> None:
        super().__init__(keys)
        if sigma is not None and not sigma >= 0:
            raise ValueError(f"sigma must not be negative, got {sigma}")
        self.sigma = sigma

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Append the level."""
        result = dict(data)
        for key in self.key_iterator(result):
            volume = data[key]
            told = result.pop(f"{key}{_TOLD}", None)
            if told is None:
                unit = float(data.get(f"{key}_scale", 1.0))
                values = volume.as_subclass(Tensor)
                told, median = noise_level(values, self.sigma, unit, result)
                if self.sigma is None and median == 0:
                    logger.warning("no noise was found: the volume returns as it is; give --sigma")
                result["original"] = volume
            both = torch.cat([volume.as_subclass(Tensor), told.to(volume.device)])
            result[key] = MetaTensor(both, meta=volume.meta) if hasattr(volume, "meta") else both
        return result


def noise_level(
    volume: Tensor, sigma: float | None, unit: float, record: dict[Any, Any]
) -> tuple[Tensor, float]:
    """Return the noise level of every voxel of a volume, and that of its tissue.

    Args:
        volume: Divided by ``unit``.
        sigma: Deviation of the noise of one channel in the unit of the image; None: estimated.
        unit: What the volume was divided by.
        record: Gets ``noise_level``, in the unit of the image, and ``noise_source``, unless it says
            what noise was added.

    Shape:
        ``volume``: ``(1, D, H, W)``; output: the same, and a number.

    Raises:
        InputError: If the level is more than the tissue.
    """
    if sigma is None:
        level = local_noise_level(volume[0].cpu())[None]
    else:
        level = torch.full_like(volume, sigma / unit)
    tissue = volume > otsu_threshold(volume)
    median = float(level[tissue.cpu()].median()) if tissue.any() else 0.0
    if not median < 1:
        raise InputError(
            f"the noise level is {median * unit:.3g}, more than the tissue: give --sigma "
            "in the unit of the image"
        )
    if not {"noise", "noise_level"} & set(record):  # of an evaluation: what was added
        source = "estimated" if sigma is None else "sigma"
        record["noise_level"], record["noise_source"] = median * unit, source
        text = "noise level %.4g in the tissue, %.1f %% of its brightness (%s)"
        logger.info(text, median * unit, 100 * median, source)
    return level, median
