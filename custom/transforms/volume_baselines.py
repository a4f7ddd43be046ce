"""Classical baselines for volumes, and added noise for tests of robustness."""

from __future__ import annotations

import zlib
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from monai.utils import convert_to_dst_type, ensure_tuple
from numpy.typing import NDArray
from torch import Tensor

from custom.physics.downsampling import Degradation, high_affine, upsample
from custom.transforms.classical_baselines import estimated_noise

__all__ = [
    "NoiseOnVolumed",
    "UpsampleVolumed",
    "VolumeNonLocalMeansd",
    "at_noise_levels",
    "denoise_volume",
]


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

    ``s`` is the item's noise level; ``std`` is over the whole volume, air included. A scan gets the
    same ``e`` at every level and in every run, so that levels and methods can be compared.

    Args:
        keys: Volumes to copy.
        names: Key of each noisy copy.
        level_key: Key of ``s``; without it nothing is added.
        scan_key: Key of the scan's name, which seeds ``e``.
        seed: Further seed of the noise of all scans.

    Shape:
        ``(C, D, H, W)``.

    Raises:
        ValueError: If there are not as many names as keys.
    """

    def __init__(
        self,
        keys: KeysCollection,
        names: KeysCollection,
        level_key: str = "noise_level",
        scan_key: str = "scan",
        seed: int = 0,
    ) -> None:
        super().__init__(keys)
        self.names = ensure_tuple(names)
        if len(self.names) != len(self.keys):
            raise ValueError(f"names must be as many as keys, got {self.names} for {self.keys}")
        self.level_key = level_key
        self.scan_key = scan_key
        self.seed = seed

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add the noisy copies."""
        result = dict(data)
        level = float(data.get(self.level_key, 0.0))
        scan = f"{self.seed} {data.get(self.scan_key, '')}"
        random = torch.Generator().manual_seed(zlib.crc32(scan.encode()))
        for key, name in self.key_iterator(result, self.names):
            noise = torch.randn(data[key].shape, generator=random).to(data[key].device)
            spread = data[key].float().std(correction=0)
            result[name] = data[key] + level * spread * noise
        return result


def denoise_volume(
    volume: NDArray[Any], patch_radius: int = 1, block_radius: int = 3
) -> NDArray[np.float32]:
    """Denoise a volume by DIPY's non-local means.

    The noise is that of :func:`~custom.transforms.classical_baselines.estimated_noise`, which takes
    less of the anatomy for noise than DIPY's estimate of whole volumes: 2.3 instead of 3.2 in a
    halved brain without noise of range 255, which costs 0.2 instead of 0.5 dB.

    DIPY averages squares, which makes a noise floor near zero. An offset of a thousand times the
    range is therefore added meanwhile: averaging squares then equals averaging values, and the
    weights, which depend on differences, do not change.

    Args:
        volume: ``(D, H, W)``; negative values may occur.
        patch_radius: Half width of the compared patches in voxels.
        block_radius: Half width of the search block in voxels.

    Source:
        Coupe et al., "An optimized blockwise nonlocal means denoising filter for 3-D magnetic
        resonance images", 2008; ``dipy.denoise.nlmeans``, method ``classic``.
    """
    from dipy.denoise.nlmeans import nlmeans

    values = np.asarray(volume, dtype=np.float64)
    sigma = estimated_noise(values)
    if not sigma > 0:
        return values.astype(np.float32)
    lift = 1000 * float(np.ptp(values))
    # DIPY 1.12 reads out of bounds along an axis that is shorter than its mirrored margin.
    reach = block_radius + patch_radius + 1
    margins = [(0, max(0, reach - length)) for length in values.shape]
    denoised = nlmeans(
        np.pad(values, margins, mode="symmetric") + lift,
        sigma,
        patch_radius=patch_radius,
        block_radius=block_radius,
        rician=False,
        method="classic",
    )
    inside = tuple(slice(length) for length in values.shape)
    return np.asarray(denoised[inside] - lift, dtype=np.float32)


class VolumeNonLocalMeansd(MapTransform):
    """Apply :func:`denoise_volume` on the acquired grid, before any interpolation.

    Args:
        keys: Volumes to denoise.
        patch_radius: See :func:`denoise_volume`.
        block_radius: See :func:`denoise_volume`.

    Shape:
        ``(C, D, H, W)``.

    Raises:
        ValueError: If a radius is below 1.
    """

    def __init__(self, keys: KeysCollection, patch_radius: int = 1, block_radius: int = 3) -> None:
        super().__init__(keys)
        for name, radius in (("patch_radius", patch_radius), ("block_radius", block_radius)):
            if radius < 1:
                raise ValueError(f"{name} must be at least 1, got {radius}")
        self.patch_radius = patch_radius
        self.block_radius = block_radius

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Denoise the volumes."""
        result = dict(data)
        for key in self.key_iterator(result):
            volumes = torch.as_tensor(data[key]).as_subclass(Tensor).cpu().numpy()
            denoised = np.stack(
                [denoise_volume(one, self.patch_radius, self.block_radius) for one in volumes]
            )
            result[key] = convert_to_dst_type(denoised, data[key])[0]
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
        scale: int = 2,
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
