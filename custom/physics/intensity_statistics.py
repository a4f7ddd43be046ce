"""One number for how bright an image is, by which it is divided."""

from __future__ import annotations

import math
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.filters import threshold_otsu
from torch import Tensor

from custom.setting_checks import check_choice

__all__ = [
    "OUTLIER",
    "STATISTICS",
    "clip_outliers",
    "otsu_threshold",
    "outlier_limit",
    "reference_intensity",
]

AnyImage = TypeVar("AnyImage", Tensor, NDArray[Any])

STATISTICS = ("mean", "foreground_mean", "tissue_median")

_CLIP = (1.0, 97.0)  # percentiles; 3 % of the voxels may be brighter than any tissue
# Times the median of the tissue. Of 50 head, brain and mouse images 0 to 0.05 % of the voxels lie
# beyond five times it, and none of the demonstration sets: there the limit changes nothing.
OUTLIER = 5.0
# A threshold takes brighter voxels as three times the tissue: 2 % of the voxels at five times it
# would be Otsu's upper class.
_BRIGHT = 3.0 / OUTLIER
# Medians of tissue and air differ by more, those of the halves of noise by less.
_CONTRAST = 5.0
_AIR = 0.45  # deviation over mean; that of magnitudes of noise is 0.52
_SMALL = 0.003  # share of the voxels; of less, it is no body but hot voxels


def outlier_limit(image: Tensor | NDArray[Any]) -> float:
    """Return the magnitude beyond which voxels are outliers: five times the median of the tissue.

    Hot voxels, spikes and a bright rim hardly move it as long as they are less than 3 % of the
    voxels; where the tissue itself is less than 3 %, 0.3 %.

    Args:
        image: Numbers of any shape; those that are not finite do not count.

    Returns:
        In the units of the image; infinite where it would be 0.
    """
    values = _finite(image)
    if not values.size:
        return float("inf")
    return OUTLIER * abs(float(np.median(_tissue(values)))) or float("inf")


def _tissue(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the voxels above Otsu's threshold of the values clipped at percentiles 1 and 97.

    If these are not clearly brighter than the others, the image is all tissue where its values
    differ little; else it is air, and the tissue is among the brightest 3 % of the voxels.
    """
    low, high = np.percentile(values, _CLIP)
    # Clipped first: Otsu's histogram spans the range, and one hot voxel would be its upper class.
    clipped = np.clip(values, low, high)
    threshold = _otsu(clipped)
    tissue = values[values > threshold]
    if not tissue.size:
        return values
    contrast = np.median(tissue) > _CONTRAST * np.median(values[values <= threshold])
    if contrast or clipped.std() < _AIR * clipped.mean():
        return tissue
    kept = np.maximum(values, low)
    while 0 < tissue.size < values.size:
        threshold = _otsu(kept)
        tissue = kept[kept > threshold]
        if tissue.size >= _SMALL * values.size:
            break
        kept = kept[kept <= threshold]
    return tissue if tissue.size else kept


def clip_outliers(image: AnyImage) -> AnyImage:
    """Return an image with its outliers cut to :func:`outlier_limit`, of either sign."""
    limit = outlier_limit(image)
    return image.clip(-limit, limit)


def otsu_threshold(image: Tensor | NDArray[Any], limit: float | None = None) -> float:
    """Return Otsu's threshold between air and tissue, whatever outliers and bright rims there are.

    Args:
        image: Numbers of any shape, at least one.
        limit: That of :func:`outlier_limit`, if it is known.

    Source:
        Otsu, IEEE Trans Syst Man Cybern 9, 62 (1979).
    """
    bright = _BRIGHT * (outlier_limit(image) if limit is None else limit)
    return _otsu(_finite(image).clip(-bright, bright))


def reference_intensity(image: Tensor, statistic: str, slice_axis: bool = False) -> Tensor:
    """Return the intensity by which an image is divided; 1 where it would not be positive.

    Outliers, see :func:`outlier_limit`, and voxels that are not finite do not count.

    Args:
        image: Array or tensor, ``(C, *spatial)``.
        statistic: ``mean``: that of all voxels; ``foreground_mean``: that of the voxels above
            Otsu's threshold; ``tissue_median``: that of :func:`outlier_limit`, which a bright rim
            of 2 % of the voxels hardly moves, while it moves the mean by a quarter.
        slice_axis: Whether the last axis counts slices, each with a number of its own.

    Returns:
        ``()``, or ``(S,)`` with ``slice_axis``, float32, in the units of the image.

    Source:
        docs/methods/micro_mri_denoise.md, "Preparation" (mean); docs/methods/gan3d_sr_denoise.md,
        "What the published code does otherwise" (mean of the foreground); the median is ours.
    """
    check_choice("statistic", statistic, STATISTICS)
    # as_tensor keeps MONAI's MetaTensor; the intensity is a plain number or vector.
    values = torch.as_tensor(image).detach().as_subclass(Tensor)
    parts = values.unbind(-1) if slice_axis else (values,)
    limits = [outlier_limit(part) for part in parts]
    if statistic == "mean":
        found = _mean(values, values.new_tensor(limits, dtype=torch.float64), slice_axis)
    else:
        if statistic == "foreground_mean":
            each = [_foreground_mean(*pair) for pair in zip(parts, limits, strict=True)]
        else:
            each = [limit / OUTLIER if math.isfinite(limit) else 0.0 for limit in limits]
        found = torch.tensor(each, dtype=torch.float32, device=values.device)
    found = found if slice_axis else found.reshape(())
    return torch.where(found > 0, found, torch.ones_like(found))


def _mean(image: Tensor, limits: Tensor, slice_axis: bool) -> Tensor:
    """Return the mean of the voxels up to a limit, of each slice or of all; NaN of none."""
    kept = image.abs() <= limits
    dim = tuple(range(image.ndim - 1)) if slice_axis else None
    # By torch, in float32, divided by 1 where all are kept: the shipped weights were trained so.
    return torch.where(kept, image, 0).float().mean(dim=dim) / kept.float().mean(dim=dim)


def _foreground_mean(image: Tensor, limit: float) -> float:
    """Return the mean of the voxels up to a limit that are above Otsu's threshold; NaN of none."""
    values = _finite(image)
    values = values[np.abs(values) <= limit]
    if not values.size:
        return float("nan")
    foreground = values[values > otsu_threshold(values, limit)]
    return float((foreground if foreground.size else values).mean())


def _finite(image: Tensor | NDArray[Any]) -> NDArray[np.float64]:
    """Return the finite values as a vector."""
    plain: Any = image
    if isinstance(image, Tensor):  # as_tensor of both would warn of arrays that are only read
        plain = image.detach().as_subclass(Tensor).cpu().double().numpy()
    values = np.asarray(plain, dtype=np.float64)
    return np.asarray(values[np.isfinite(values)])


def _otsu(values: NDArray[np.float64]) -> float:
    """Return Otsu's threshold."""
    return float(threshold_otsu(values))  # type: ignore[no-untyped-call]
