"""A restored image beside its reference: checks, data range, foreground and means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from monai.metrics.regression import RegressionMetric
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from custom.physics.intensity_statistics import otsu_threshold

__all__ = [
    "PairMetric",
    "RangeRule",
    "data_range_of",
    "double_pair",
    "foreground",
    "mean_of_each",
    "plain",
    "positive_range",
]

RangeRule: TypeAlias = Literal["max - min", "max - min up to 1"] | tuple[float, float] | float
"""Rule for the data range of PSNR and SSIM: see :func:`data_range_of`."""


def data_range_of(
    reference: Tensor, rule: RangeRule = "max - min", mask: Tensor | None = None
) -> Tensor:
    """Return the data range of each image, in its units.

    Args:
        reference: Images.
        rule: ``"max - min"`` of the reference, ``"max - min up to 1"`` where more counts as 1; a
            pair of percentiles (0 to 100): ``max - min`` of the reference clipped to them; or a
            number that is the range of every image.
        mask: The voxels that count; by default all.

    Shape:
        ``reference``, ``mask``: ``(B, 1, *spatial)``; output: ``(B,)``.

    Raises:
        ValueError: If a mask is empty, or the rule is none of these.
    """
    reference = plain(reference)
    if isinstance(rule, (int, float)):
        return torch.full((len(reference),), float(rule), device=reference.device)
    if rule == "max - min up to 1":
        rule, reference = "max - min", reference.clamp(max=1)
    ends = tuple((0, 100) if rule == "max - min" else rule)  # a config gives a list
    if len(ends) != 2 or not 0 <= ends[0] < ends[1] <= 100:
        raise ValueError(f"rule must be 'max - min', two percentiles or a number, got {rule!r}")
    images = [
        image[_checked(mask, reference)[i]] if mask is not None else image.flatten()
        for i, image in enumerate(reference)
    ]
    return torch.stack([_between(values, *ends) for values in images])


def double_pair(predicted: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Return a pair of batches in double precision, without gradients or meta data.

    Shape:
        Both ``(B, 1, *spatial)`` with two or three spatial axes.

    Raises:
        ValueError: If the shapes differ or are others.
    """
    if predicted.shape != reference.shape:
        raise ValueError(
            f"predicted and reference must have the same shape, "
            f"got {tuple(predicted.shape)} and {tuple(reference.shape)}"
        )
    if predicted.ndim not in (4, 5) or predicted.shape[1] != 1:
        raise ValueError(f"images must be (B, 1, H, W) or volumes, got {tuple(predicted.shape)}")
    return plain(predicted).double(), plain(reference).double()


def foreground(reference: ArrayLike) -> NDArray[np.bool_]:
    """Return the mask of voxels above :func:`custom.physics.intensity_statistics.otsu_threshold`.

    Shape:
        ``(*spatial)`` in and out.

    Raises:
        ValueError: If the image is constant.
    """
    values: NDArray[Any] = np.asarray(reference, dtype=np.float64)
    if values.min() == values.max():
        raise ValueError("reference must not be constant: it has no foreground")
    return np.asarray(values > otsu_threshold(values))


def mean_of_each(values: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return the mean of each image.

    Args:
        values: Images.
        mask: The voxels that count; by default all.

    Shape:
        ``values``, ``mask``: ``(B, 1, *spatial)``; output: ``(B,)``.

    Raises:
        ValueError: If the mask has another shape or is empty for an image.
    """
    if mask is None:
        return values.flatten(1).mean(1)
    mask = _checked(mask, values)
    # Not a product with the mask: 0 times infinity or NaN is NaN.
    kept = torch.where(mask, values, 0)
    return kept.flatten(1).sum(1) / mask.flatten(1).sum(1)


def positive_range(data_range: float | Tensor, like: Tensor) -> Tensor:
    """Return the data range as a tensor of the kind of ``like``.

    Raises:
        ValueError: If it is not positive.
    """
    value = torch.as_tensor(data_range).as_subclass(Tensor).to(like)
    if not bool((value > 0).all()):
        raise ValueError(f"data_range must be positive, got {data_range}")
    return value


def plain(images: Tensor) -> Tensor:
    """Return the values without MONAI's meta data, which no number here needs."""
    return torch.as_tensor(images).as_subclass(Tensor).detach()


class PairMetric(RegressionMetric):
    """Mean over images of a subclass's ``measure``, each with the data range of a rule.

    Images equal to their reference (infinite PSNR) and references without a range count as NaN,
    which MONAI's reduction leaves out, so that one of them does not spoil the mean of the others.

    Args:
        rule: Rule for the data range, see :func:`data_range_of`.

    Shape:
        ``y_pred``, ``y``: ``(B, 1, *spatial)``; value: ``(B, 1)``; aggregate: ``()``.
    """

    measure: Callable[[Tensor, Tensor, Tensor], Tensor]

    def __init__(self, rule: RangeRule = "max - min") -> None:
        super().__init__()
        self.rule = rule

    def _compute_metric(self, y_pred: Tensor, y: Tensor) -> Tensor:
        """Return the measure of each image."""
        ranges = data_range_of(y, self.rule)
        usable = ranges > 0
        # 1 stands in for an unusable range, which the measure would refuse.
        value = self.measure(y_pred, y, torch.where(usable, ranges, torch.ones_like(ranges)))
        value = value.to(ranges.device)
        return torch.where(usable & value.isfinite(), value, torch.nan).float().unsqueeze(1)


def _between(values: Tensor, low: float, high: float) -> Tensor:
    """Return the distance between two percentiles of a vector."""
    if (low, high) == (0, 100):
        return values.max() - values.min()
    # NumPy's: torch.quantile refuses inputs as large as a volume can be.
    first, last = np.percentile(values.double().cpu().numpy(), (low, high))
    return torch.as_tensor(last - first).to(values)


def _checked(mask: Tensor, values: Tensor) -> Tensor:
    """Return a mask as booleans, if every image has a voxel in it."""
    mask = plain(mask).bool().to(values.device)
    if mask.shape != values.shape or not bool(mask.flatten(1).any(1).all()):
        raise ValueError(f"mask must be {tuple(values.shape)} and not empty for any image")
    return mask
