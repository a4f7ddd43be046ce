"""The range of intensities of a brain, which normalisation maps to 0 to 1."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["brain_range"]

_PERCENTILES = (0.01, 0.99)


def brain_range(image: Tensor, mask: Tensor) -> tuple[float, float]:
    """Return the 1st and the 99th percentile of the voxels of a brain.

    Args:
        image: Intensities, of any shape.
        mask: Brain where it is above 0, of the same shape.

    Raises:
        ValueError: If the shapes differ, the mask is empty, or the brain has no finite values or
            one value alone.

    Source:
        docs/methods/brain_3t7t_sr.md, "Preparation".
    """
    if image.shape != mask.shape:
        raise ValueError(
            f"image and brain mask must have one shape, got {tuple(image.shape)} and "
            f"{tuple(mask.shape)}"
        )
    inside = torch.as_tensor(mask).as_subclass(Tensor) > 0
    if not inside.any():
        raise ValueError("the brain mask is empty")
    values = torch.as_tensor(image).as_subclass(Tensor)[inside].double().sort().values
    if not values[[0, -1]].isfinite().all():  # NaN is sorted last
        raise ValueError("the brain holds values that are not finite")
    # torch.quantile takes no more than 16 million values; as numpy's, linear.
    places = torch.tensor(_PERCENTILES, dtype=torch.float64) * (len(values) - 1)
    below = places.floor().long()
    above = (below + 1).clamp(max=len(values) - 1)
    low, high = torch.lerp(values[below], values[above], places - below).tolist()
    if low >= high:
        raise ValueError(f"the brain has no contrast: 98 % of its voxels are {low:g}")
    return low, high
