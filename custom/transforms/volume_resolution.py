"""Degrade volumes and interpolate them back: lower resolution, added noise, the finer grid."""

from __future__ import annotations

import zlib
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Randomizable
from monai.utils import convert_to_dst_type, ensure_tuple
from torch import Tensor

from custom.physics.acquisition import TRAINING_OPERATORS, acquire, rician
from custom.physics.downsampling import (
    Degradation,
    Scale,
    acquired_as,
    check_degradation,
    crop_to_multiple,
    downsample,
    high_affine,
    low_affine,
    upsample,
)
from custom.setting_checks import check_not_negative, check_share

__all__ = [
    "ACQUIRED",
    "AcquireVolumed",
    "DownsampleVolumed",
    "NoiseOnVolumed",
    "UpsampleVolumed",
    "at_noise_levels",
    "names_of_copies",
    "text_seed",
]

ACQUIRED = "_acquired"  # suffix of the key of how a training patch was made


def names_of_copies(names: KeysCollection, keys: Sequence[Hashable]) -> tuple[Hashable, ...]:
    """Return the names under which a transform leaves its copies, one a key.

    Raises:
        ValueError: If there are not as many names as keys.
    """
    found: tuple[Hashable, ...] = ensure_tuple(names)
    if len(found) != len(keys):
        raise ValueError(f"names must be as many as keys, got {found} for {tuple(keys)}")
    return found


def text_seed(text: object) -> int:
    """Return a seed for a scan's name, the same in every run, as Python's own hash is not."""
    return zlib.crc32(str(text).encode())


class DownsampleVolumed(MapTransform):
    """Make the low-resolution partners of volumes, with their affines.

    Args:
        keys: High-resolution volumes. Planes that have no partner are left out of them, so that
            they are exactly ``scale`` times as large as their partners.
        names: Key of each partner; an existing entry is replaced.
        degradation: See :func:`custom.physics.downsampling.downsample`.
        scale: See :func:`custom.physics.downsampling.downsample`.

    Shape:
        High: ``(C, D, H, W)``; low: ``(C, D // scale, H // scale, W // scale)``.

    Raises:
        ValueError: If ``degradation`` is unknown, ``scale < 1``, or there are not as many names as
            keys.
    """

    def __init__(
        self,
        keys: KeysCollection,
        names: KeysCollection,
        degradation: Degradation = "linear",
        scale: Scale = 2,
    ) -> None:
        super().__init__(keys)
        check_degradation(degradation, scale)
        self.names = names_of_copies(names, self.keys)
        self.degradation: Degradation = degradation
        self.scale = scale

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add the partners."""
        result = dict(data)
        for key, name in self.key_iterator(result, self.names):
            high = crop_to_multiple(data[key], self.scale)
            low = self._lower(high.unsqueeze(0)).squeeze(0)
            if isinstance(high, MetaTensor):
                affine = low_affine(high.affine, self.degradation, self.scale)
                low = MetaTensor(low, meta=high.meta)
                low.affine = affine
            result[key], result[name] = high, low
        return result

    def _lower(self, high: Tensor) -> Tensor:
        """Return the partner of a volume, ``(1, C, D, H, W)``."""
        return downsample(high, self.degradation, self.scale)


class AcquireVolumed(Randomizable, DownsampleVolumed):
    """Make low-resolution partners as a scanner might have acquired them.

    With the degradation ``acquired``, an operator of the family (``TRAINING_OPERATORS`` of
    :mod:`custom.physics.acquisition`) is drawn, then Rician noise is added on the acquired grid:
    none in a third of the draws, else with a deviation between 0 and ``most_noise``. In a share
    ``thick`` of the draws the voxels become 2 to 5 times longer along one axis alone. What was
    drawn is kept, for :class:`custom.transforms.fine_start.FineStartd`. An item that names its
    ``operator`` and ``noise`` gets these, with the same noise each time. Any other degradation is
    that of :class:`DownsampleVolumed`.

    Args:
        keys: See :class:`DownsampleVolumed`; divided by the mean of the foreground.
        names: See :class:`DownsampleVolumed`.
        degradation: See :class:`DownsampleVolumed`.
        scale: See :class:`DownsampleVolumed`.
        most_noise: Deviation of the strongest noise, as a share of the mean foreground.
        thick: Share of thick slices.

    Shape:
        See :class:`DownsampleVolumed`; thick slices are fewer along their axis alone.
    """

    def __init__(
        self,
        keys: KeysCollection,
        names: KeysCollection,
        degradation: Degradation = "acquired",
        scale: Scale = 2,
        most_noise: float = 0.1,
        thick: float = 0.0,
    ) -> None:
        super().__init__(keys, names, degradation, scale)
        check_not_negative("most_noise", most_noise)
        check_share("thick", thick)
        self.most_noise = most_noise
        self.thick = thick
        self.drawn: dict[str, Any] = {}

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Draw, and add the partners."""
        if "operator" in data:
            self.drawn = {"operator": data["operator"], "share": 0.5, "scale": self.scale}
            self.drawn |= {"noise": float(data["noise"]), "seed": text_seed(data.get("scan"))}
            return super().__call__(data)
        self.randomize()
        result = super().__call__(data)
        for key, name in self.key_iterator(result, self.names):
            result[f"{name}{ACQUIRED}"] = {**self.drawn, "shape": result[key].shape[1:]}
        return result

    def randomize(self, data: Any = None) -> None:
        """Draw operator, share of Hamming's window, factors, noise, and the seed of the noise."""
        if self.degradation != "acquired":  # nothing is drawn
            self.drawn = {"operator": acquired_as(self.degradation), "share": 0.5}
            self.drawn |= {"scale": self.scale, "noise": 0.0}
            return
        scale = self.scale
        if self.R.uniform() < self.thick:
            longer, axis = self.R.randint(2, 6), self.R.randint(3)
            scale = tuple(int(longer) if axis == other else 1 for other in range(3))
        self.drawn = {
            "operator": TRAINING_OPERATORS[self.R.randint(len(TRAINING_OPERATORS))],
            "share": self.R.uniform(),
            "scale": scale,
            "noise": self.most_noise * max(0.0, self.R.uniform(-0.5, 1)),
            "seed": int(self.R.randint(2**31 - 1)),
        }

    def _lower(self, high: Tensor) -> Tensor:
        """Return the partner of a volume, ``(1, C, D, H, W)``."""
        if self.degradation != "acquired":
            return super()._lower(high)
        drawn = self.drawn
        low = acquire(high, drawn["operator"], drawn["scale"], drawn["share"])
        return rician(low, drawn["noise"], torch.Generator().manual_seed(drawn["seed"]))


def at_noise_levels(
    items: Iterable[Mapping[str, Any]], levels: Iterable[float] = (0.0, 0.1, 0.2, 0.3)
) -> list[dict[str, Any]]:
    """Return every item once for each noise level, with its ``noise_level``.

    Args:
        items: Items of a dataset.
        levels: Deviations of the noise, in units of the volume's own deviation.

    Raises:
        ValueError: If a level is negative, or there is none.

    Source:
        docs/methods/gan3d_sr_denoise.md, "Evaluation": 0, 0.1, 0.2, 0.3 on the ground truth before
        downsampling.
    """
    wanted = [float(level) for level in levels]
    if not wanted or min(wanted) < 0:
        raise ValueError(f"levels must be one or more numbers that are not negative, got {wanted}")
    return [{**item, "noise_level": level} for item in items for level in wanted]


class NoiseOnVolumed(MapTransform):
    r"""Add Gaussian noise to a copy of a volume.

    .. math:: y = x + s \operatorname{std}(x) e, \qquad e \sim N(0, 1)

    ``s`` is the item's ``noise_level``, 0 without one; ``std`` is over the whole volume, air
    included. A scan gets the same ``e`` at every level and in every run, so that levels and methods
    can be compared.

    Args:
        keys: Volumes to copy.
        names: Key of each noisy copy.
        seed: Seed of the noise of all scans, beside the ``scan``'s name.

    Shape:
        ``(C, D, H, W)``.

    Raises:
        ValueError: If there are not as many names as keys.
    """

    def __init__(
        self,
        keys: KeysCollection,
        names: KeysCollection,
        seed: int = 0,
    ) -> None:
        super().__init__(keys)
        self.names = names_of_copies(names, self.keys)
        self.seed = seed

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add the noisy copies."""
        result = dict(data)
        level = float(data.get("noise_level", 0.0))
        scan = f"{self.seed} {data.get('scan', '')}"
        random = torch.Generator().manual_seed(text_seed(scan))
        for key, name in self.key_iterator(result, self.names):
            # On the CPU, so that a seed means the same on every device.
            noise = torch.randn(data[key].shape, generator=random).to(data[key].device)
            spread = data[key].float().std(correction=0)
            result[name] = data[key] + level * spread * noise
        return result


class UpsampleVolumed(MapTransform):
    """Interpolate volumes to the high-resolution grid, with their affines.

    Args:
        keys: Low-resolution volumes.
        degradation: Which grid theirs is, see
            :func:`~custom.physics.downsampling.upsample`.
        scale: How many times finer the new grid is.
        mode: ``trilinear``, or ``cubic`` for cubic B-splines; for all, or one a key.

    Shape:
        ``(C, D, H, W)``; output ``(C, scale D, scale H, scale W)``.
    """

    def __init__(
        self,
        keys: KeysCollection,
        degradation: Degradation,
        scale: Scale = 2,
        mode: Any = "trilinear",
    ) -> None:
        super().__init__(keys)
        self.degradation: Degradation = degradation
        self.scale = scale
        modes = [mode] * len(self.keys) if isinstance(mode, str) else list(mode)
        if len(modes) != len(self.keys) or not set(modes) <= {"trilinear", "cubic"}:
            raise ValueError(f"mode must be trilinear or cubic, one for all or a key, got {mode!r}")
        self.modes = modes

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Interpolate the volumes."""
        result = dict(data)
        for key, mode in self.key_iterator(result, self.modes):
            volume = data[key]
            fine = upsample(volume.unsqueeze(0), self.degradation, self.scale, mode)[0]
            result[key] = convert_to_dst_type(fine, volume)[0]
            if hasattr(volume, "affine"):
                result[key].affine = high_affine(volume.affine, self.degradation, self.scale)
        return result
