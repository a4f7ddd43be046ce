"""Image quality of volumes, as MONAI's metrics for the validation of a training."""

from __future__ import annotations

from collections.abc import Callable

import torch
from monai.metrics.regression import RegressionMetric
from torch import Tensor

from custom.metrics.volume_quality import (
    Volume,
    signal_to_noise_ratio,
    similarity_map,
    value_range,
)

__all__ = ["VolumePSNR", "VolumeSSIM"]


class VolumePSNR(RegressionMetric):
    """Mean PSNR of volumes; the data range is ``max - min`` of each reference.

    Equal volumes (infinite PSNR) and constant references (no range) count as NaN, which MONAI's
    reduction leaves out, so that one of them does not spoil the mean of the others.

    Shape:
        ``y_pred``, ``y``: ``(B, 1, D, H, W)``; value: ``(B, 1)``; aggregate: ``()``.
    """

    def _compute_metric(self, y_pred: Tensor, y: Tensor) -> Tensor:
        """Return the PSNR of each volume."""
        return _of_each(signal_to_noise_ratio, y_pred, y)


class VolumeSSIM(RegressionMetric):
    """Mean SSIM of volumes, over the voxels whose window lies inside.

    The data range is ``max - min`` of each reference. A constant reference has no range and counts
    as NaN, which MONAI's reduction leaves out.

    Shape:
        ``y_pred``, ``y``: ``(B, 1, D, H, W)``, at least 11 voxels along each axis; value:
        ``(B, 1)``; aggregate: ``()``.
    """

    def _compute_metric(self, y_pred: Tensor, y: Tensor) -> Tensor:
        """Return the SSIM of each volume."""
        return _of_each(_similarity, y_pred, y)


def _similarity(predicted: Volume, reference: Volume, data_range: float) -> float:
    """Return the SSIM of a volume."""
    return float(similarity_map(predicted, reference, data_range).mean())


def _of_each(
    measure: Callable[[Volume, Volume, float], float], predicted: Tensor, reference: Tensor
) -> Tensor:
    """Apply a measure to each pair with the range of its reference; NaN where it has no value."""
    values = []
    for one, other in zip(predicted, reference, strict=True):
        pair = tuple(volume.detach().float().cpu().numpy()[0] for volume in (one, other))
        spread = value_range(pair[1])
        values.append(measure(pair[0], pair[1], spread) if spread > 0 else float("nan"))
    result = torch.tensor(values, dtype=torch.float32, device=predicted.device).unsqueeze(1)
    return torch.where(result.isfinite(), result, torch.nan)
