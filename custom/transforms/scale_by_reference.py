"""Divide images by the intensity of a reference image, and undo it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from custom.physics.intensity_statistics import STATISTICS, reference_intensity
from custom.setting_checks import check_choice

__all__ = ["ScaleByReferenced", "UnscaleByReferenced"]


class ScaleByReferenced(MapTransform):
    r"""Divide images by a brightness statistic of the reference image.

    .. math:: y = x / m, \qquad m = \operatorname{statistic}(x_\mathrm{reference})

    The reference is the degraded image, which is there at inference too, so intensity units can
    be given back. An ``m`` that is not positive is taken as 1.

    Args:
        keys: Images to divide.
        reference_key: The image whose intensity counts, before it is divided itself.
        statistic: Name of one of :data:`custom.physics.intensity_statistics.STATISTICS`.
        slice_axis: Whether the last axis counts slices, each with an intensity of its own.
        allow_missing_keys: Whether ``keys`` may be absent.

    Shape:
        Images: ``(C, *spatial)``. The factor is stored under ``f"{reference_key}_scale"``: ``()``,
        or ``(S,)`` with ``slice_axis``, float32.

    Raises:
        ValueError: If the statistic is unknown.

    Source:
        docs/methods/micro_mri_denoise.md, "Preparation" (mean); docs/methods/gan3d_sr_denoise.md,
        "What the published code does otherwise" (mean of the foreground).
    """

    def __init__(
        self,
        keys: KeysCollection,
        reference_key: str,
        statistic: str = "mean",
        slice_axis: bool = False,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        check_choice("statistic", statistic, STATISTICS)
        self.reference_key = reference_key
        self.statistic = statistic
        self.slice_axis = slice_axis

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Divide the images and store the factor."""
        result = dict(data)
        factor = reference_intensity(data[self.reference_key], self.statistic, self.slice_axis)
        for key in self.key_iterator(result):
            result[key] = data[key] / factor
        result[f"{self.reference_key}_scale"] = factor
        return result


class UnscaleByReferenced(MapTransform):
    """Multiply images by the factor that :class:`ScaleByReferenced` stored.

    Args:
        keys: Images to multiply.
        scale_key: Key of the factor, ``f"{reference_key}_scale"``.
        allow_missing_keys: Whether ``keys`` may be absent.

    Shape:
        Images: ``(C, *spatial)`` with a factor ``()``, or ``(C, X, Y, S)`` with ``(S,)``.
    """

    def __init__(
        self, keys: KeysCollection, scale_key: str, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.scale_key = scale_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Multiply the images."""
        result = dict(data)
        for key in self.key_iterator(result):
            # MONAI's decollation makes a number of a tensor without axes.
            factor = torch.as_tensor(
                data[self.scale_key], dtype=torch.float32, device=data[key].device
            )
            result[key] = data[key] * factor
        return result
