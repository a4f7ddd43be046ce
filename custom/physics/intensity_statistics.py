"""One number for how bright an image is, by which it is divided."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.filters import threshold_otsu
from torch import Tensor

__all__ = ["STATISTICS", "check_statistic", "foreground_mean", "reference_intensity"]

Values = NDArray[np.float64]

_CLIP = (1.0, 97.0)  # percentiles; 3 % of the voxels may be brighter than any tissue
_BRIGHT = 2.0  # times the median of the foreground: fat, vessels and artefacts lie above


def foreground_mean(values: Values) -> float:
    r"""Return the mean of the voxels above Otsu's threshold.

    Air stays 0 when a volume is divided by it, which is also what padding adds. An image without
    contrast has its mean. Not robust: the threshold follows a single hot voxel.

    Args:
        values: Finite numbers, of any shape, at least one.

    Source:
        Otsu, IEEE Trans Syst Man Cybern 9, 62 (1979).
    """
    threshold = float(threshold_otsu(values))  # type: ignore[no-untyped-call]
    foreground = values[values > threshold]
    return float(foreground.mean() if foreground.size else values.mean())


def trimmed_foreground_mean(values: Values) -> float:
    """Return the mean of the robust foreground up to twice its median.

    Voxels beyond do not count at all, so it does not matter how bright they are. One voxel of
    10,000 times the tissue, a few negative ones or a bright rim of 2 % of the voxels change it by
    less than 1 % where the foreground fills a quarter of the image or more. The median, which
    lets a rim shift its rank, changes by 2 to 3 % there.

    Args:
        values: Finite numbers, of any shape, at least one.
    """
    foreground = robust_foreground(values)
    # abs: twice a negative median lies below it, and could leave no voxel for the mean.
    return float(foreground[foreground <= _BRIGHT * abs(np.median(foreground))].mean())


def robust_foreground(values: Values) -> Values:
    """Return the voxels above Otsu's threshold of the values clipped at percentiles 1 and 97.

    Of an object that fills less than 3 % of an empty image, the voxels above the background. An
    image without contrast is its own foreground.

    Args:
        values: Finite numbers, of any shape, at least one.
    """
    low, high = np.percentile(values, _CLIP)
    # Clipped first: Otsu's histogram spans the range, and one hot voxel would be its upper class.
    clipped = np.clip(values, low, high)
    foreground = values[values > float(threshold_otsu(clipped))]  # type: ignore[no-untyped-call]
    return foreground if foreground.size else values.ravel()


STATISTICS: Mapping[str, Callable[[Values], float]] = {
    "mean": lambda values: float(values.mean()),
    "foreground_mean": foreground_mean,
    "trimmed_foreground_mean": trimmed_foreground_mean,
}
"""Statistics by name; only the last is robust."""


def check_statistic(statistic: str) -> None:
    """Refuse a statistic that is unknown.

    Raises:
        ValueError: If there is none of this name.
    """
    if statistic not in STATISTICS:
        raise ValueError(f"statistic must be one of {', '.join(STATISTICS)}, got {statistic!r}")


def reference_intensity(image: Tensor, statistic: str, slice_axis: bool = False) -> Tensor:
    """Return the intensity by which an image is divided; 1 where it would not be positive.

    Args:
        image: Array or tensor, ``(C, *spatial)``. But for ``mean``, voxels that are not finite do
            not count.
        statistic: Name of one of :data:`STATISTICS`.
        slice_axis: Whether the last axis counts slices, each with a number of its own.

    Returns:
        ``()``, or ``(S,)`` with ``slice_axis``, float32, in the units of the image.
    """
    check_statistic(statistic)
    # as_tensor keeps MONAI's MetaTensor; the intensity is a plain number or vector.
    values = torch.as_tensor(image).detach().as_subclass(Tensor)
    if statistic == "mean":
        # By torch, in float32: the shipped weights were trained so.
        dim = tuple(range(values.ndim - 1)) if slice_axis else None
        found = values.float().mean(dim=dim)
    elif slice_axis:
        found = torch.stack([_of_finite(part, statistic) for part in values.unbind(-1)])
    else:
        found = _of_finite(values, statistic)
    return torch.where(found > 0, found, torch.ones_like(found))


def _of_finite(image: Tensor, statistic: str) -> Tensor:
    """Return the statistic of the finite voxels, float32; 0 where there is none."""
    values = image.cpu().double().numpy()
    values = values[np.isfinite(values)]
    value = STATISTICS[statistic](values) if values.size else 0.0
    return torch.tensor(value, dtype=torch.float32, device=image.device)
