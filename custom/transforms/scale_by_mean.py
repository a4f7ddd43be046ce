"""Divide a pair by the mean of its low-resolution image, and undo it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

__all__ = ["ScaleByMeand", "UnscaleByMeand"]


class ScaleByMeand(MapTransform):
    r"""Divide images by the mean of the reference image.

    .. math:: y = x / m, \qquad m = \operatorname{mean}(x_\mathrm{reference})

    The reference is the degraded image, which is there at inference too, so intensity units can
    be given back. A reference whose mean is not positive is left as it is (``m = 1``).

    Args:
        keys: Images to divide.
        reference_key: The image whose mean is taken, before it is divided itself.
        slice_axis: Whether the last axis counts slices, each with a mean of its own.
        allow_missing_keys: Whether ``keys`` may be absent.

    Shape:
        Images: ``(C, X, Y)``, or ``(C, X, Y, S)`` with ``slice_axis``. The factor is stored under
        ``f"{reference_key}_scale"``: ``()``, or ``(S,)``.

    Source:
        METHODS.md, study 1, preparation; Conejo Rupp et al. 2025, section 3.4.
    """

    def __init__(
        self,
        keys: KeysCollection,
        reference_key: str,
        slice_axis: bool = False,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.reference_key = reference_key
        self.slice_axis = slice_axis

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Divide the images and store the factor."""
        result = dict(data)
        reference = torch.as_tensor(data[self.reference_key]).float()
        axes = tuple(range(reference.ndim - 1)) if self.slice_axis else None
        # as_tensor keeps MONAI's MetaTensor; the factor is a plain number or vector.
        mean = torch.as_tensor(reference).as_subclass(torch.Tensor).mean(dim=axes)
        factor = torch.where(mean > 0, mean, torch.ones_like(mean))
        for key in self.key_iterator(result):
            result[key] = data[key] / factor
        result[f"{self.reference_key}_scale"] = factor
        return result


class UnscaleByMeand(MapTransform):
    """Multiply images by the factor that :class:`ScaleByMeand` stored.

    Args:
        keys: Images to multiply.
        scale_key: Key of the factor, ``f"{reference_key}_scale"``.
        allow_missing_keys: Whether ``keys`` may be absent.

    Shape:
        Images: ``(C, X, Y)`` with a factor ``()``, or ``(C, X, Y, S)`` with ``(S,)``.
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
            result[key] = data[key] * data[self.scale_key].to(data[key].device)
        return result
