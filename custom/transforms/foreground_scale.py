"""Divide volumes by the mean of their foreground, and undo it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from skimage.filters import threshold_otsu

__all__ = ["ForegroundScaled", "UnscaleForegroundd", "foreground_scale"]


def foreground_scale(volume: Any) -> float:
    r"""Return the mean of the voxels above Otsu's threshold.

    Air stays 0 when a volume is divided by it, which is also what padding adds. A volume without
    contrast has its mean; where no voxel is positive, or none is finite, the scale is 1.

    Args:
        volume: Array or tensor of any shape; voxels that are not finite do not count.
    """
    values = np.asarray(torch.as_tensor(volume).detach().cpu().double())
    values = values[np.isfinite(values)]
    if values.size == 0:
        return 1.0
    threshold = float(threshold_otsu(values))  # type: ignore[no-untyped-call]
    foreground = values[values > threshold]
    mean = float(foreground.mean() if foreground.size else values.mean())
    return mean if mean > 0 else 1.0


class ForegroundScaled(MapTransform):
    r"""Divide volumes by the foreground mean of the reference volume.

    .. math:: y = x / m, \qquad m = \operatorname{mean}(x_\mathrm{reference} \mid x > \mathrm{Otsu})

    The reference is the low-resolution image, which is there at inference too.

    Args:
        keys: Volumes to divide.
        reference_key: The volume whose foreground counts, before it is divided itself.
        scale_key: Where the factor goes, a tensor ``()`` of float32.
        allow_missing_keys: Whether ``keys`` may be absent.

    Shape:
        Volumes: ``(C, D, H, W)``.

    Source:
        METHODS.md, study 3; Otsu 1979.
    """

    def __init__(
        self,
        keys: KeysCollection,
        reference_key: str,
        scale_key: str = "foreground_scale",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.reference_key = reference_key
        self.scale_key = scale_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Divide the volumes and store the factor."""
        result = dict(data)
        scale = foreground_scale(data[self.reference_key])
        for key in self.key_iterator(result):
            result[key] = data[key] / scale
        result[self.scale_key] = torch.tensor(scale, dtype=torch.float32)
        return result


class UnscaleForegroundd(MapTransform):
    """Multiply volumes by the factor that :class:`ForegroundScaled` stored.

    Args:
        keys: Volumes to multiply.
        scale_key: Key of the factor.
        allow_missing_keys: Whether ``keys`` may be absent.

    Shape:
        Volumes: ``(C, D, H, W)``.
    """

    def __init__(
        self,
        keys: KeysCollection,
        scale_key: str = "foreground_scale",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.scale_key = scale_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Multiply the volumes."""
        result = dict(data)
        for key in self.key_iterator(result):
            result[key] = data[key] * float(data[self.scale_key])
        return result
