"""Mean squared error, PSNR and SSIM of single slices, each with a data range of its own."""

from __future__ import annotations

from typing import Any

import torch
from monai.metrics.regression import RegressionMetric, compute_ssim_and_cs
from torch import Tensor

__all__ = [
    "SSIM_WINDOW",
    "SlicePSNR",
    "SliceSSIM",
    "mean_squared_error",
    "peak_signal_to_noise_ratio",
    "structural_similarity",
    "value_range",
]

SSIM_WINDOW = 11  # pixels; a Gaussian of SSIM_SIGMA reaches 3.5 sigma (Wang et al. 2004)
SSIM_SIGMA = 1.5  # pixels


def value_range(reference: Tensor) -> Tensor:
    """Return ``max - min`` of each slice.

    Shape:
        ``reference``: ``(B, 1, H, W)``; output: ``(B,)``.
    """
    values = _plain(reference).flatten(1)
    return values.amax(1) - values.amin(1)


def mean_squared_error(predicted: Tensor, reference: Tensor) -> Tensor:
    """Return the mean squared difference of each slice, in squared units of the input.

    Args:
        predicted: Slices to judge.
        reference: Slices to compare with.

    Shape:
        Both ``(B, 1, H, W)``; output: ``(B,)``, float64.

    Raises:
        ValueError: If the shapes differ or are not ``(B, 1, H, W)``.
    """
    predicted, reference = _pair(predicted, reference)
    return (predicted - reference).square().flatten(1).mean(1)


def peak_signal_to_noise_ratio(
    predicted: Tensor, reference: Tensor, data_range: float | Tensor
) -> Tensor:
    r"""Return the peak signal-to-noise ratio of each slice in decibel.

    .. math:: 10 \log_{10}(R^2 / \mathrm{MSE})

    Args:
        predicted: Slices to judge.
        reference: Slices to compare with.
        data_range: ``R``, in the units of the slices; one number, or one a slice.

    Shape:
        Slices: ``(B, 1, H, W)``; ``data_range``: ``()`` or ``(B,)``; output: ``(B,)``, float64.
        Identical slices give infinity.

    Raises:
        ValueError: If the shapes do not fit or ``data_range`` is not positive.
    """
    error = mean_squared_error(predicted, reference)
    peak = _positive_range(data_range, error)
    return 10 * torch.log10(peak.square() / error)


def structural_similarity(
    predicted: Tensor, reference: Tensor, data_range: float | Tensor
) -> Tensor:
    """Return the mean structural similarity of each slice.

    A Gaussian window of deviation 1.5 pixels, 11 pixels wide, K1 = 0.01, K2 = 0.03, averaged
    where the window lies wholly inside: scikit-image's ``structural_similarity(...,
    gaussian_weights=True, sigma=1.5, use_sample_covariance=False)``.

    Args:
        predicted: Slices to judge.
        reference: Slices to compare with.
        data_range: In the units of the slices; one number, or one a slice.

    Shape:
        Slices: ``(B, 1, H, W)``, at least 11 x 11 pixels; output: ``(B,)``.

    Raises:
        ValueError: If shapes do not fit, or a size or ``data_range`` is too small.

    Source:
        Wang et al., "Image quality assessment: from error visibility to structural similarity".
    """
    predicted, reference = _pair(predicted, reference)
    if min(predicted.shape[2:]) < SSIM_WINDOW:
        raise ValueError(
            f"SSIM needs slices of at least {SSIM_WINDOW} x {SSIM_WINDOW} pixels, "
            f"got {tuple(predicted.shape[2:])}"
        )
    # Divided by its range every slice has the range 1, so one call serves ranges that differ.
    scale = _positive_range(data_range, predicted).reshape(-1, 1, 1, 1)
    similarity, _ = compute_ssim_and_cs(
        predicted / scale,
        reference / scale,
        spatial_dims=2,
        kernel_size=(SSIM_WINDOW, SSIM_WINDOW),
        kernel_sigma=(SSIM_SIGMA, SSIM_SIGMA),
        data_range=1.0,
    )
    return similarity.flatten(1).mean(1)


class SlicePSNR(RegressionMetric):
    """Mean PSNR of slices; the data range is ``max - min`` of each reference slice.

    Identical slices (infinite PSNR) and constant references (no range) count as NaN, which
    MONAI's reduction leaves out, so that one of them does not spoil the mean of the others.

    Shape:
        ``y_pred``, ``y``: ``(B, 1, H, W)``; value: ``(B, 1)``; aggregate: ``()``.
    """

    def _compute_metric(self, y_pred: Tensor, y: Tensor) -> Tensor:
        """Return the PSNR of each slice."""
        value = _where_ranged(peak_signal_to_noise_ratio, y_pred, y)
        return torch.where(value.isfinite(), value, torch.nan).unsqueeze(1)


class SliceSSIM(RegressionMetric):
    """Mean SSIM of slices; the data range is ``max - min`` of each reference slice.

    A constant reference has no range and counts as NaN, which MONAI's reduction leaves out.

    Shape:
        ``y_pred``, ``y``: ``(B, 1, H, W)``, at least 11 x 11 pixels; value: ``(B, 1)``;
        aggregate: ``()``.
    """

    def _compute_metric(self, y_pred: Tensor, y: Tensor) -> Tensor:
        """Return the SSIM of each slice."""
        return _where_ranged(structural_similarity, y_pred, y).unsqueeze(1)


def _where_ranged(measure: Any, predicted: Tensor, reference: Tensor) -> Tensor:
    """Apply a measure with each reference's own range; NaN where the reference is constant."""
    ranges = value_range(reference)
    usable = ranges > 0
    value = measure(predicted, reference, torch.where(usable, ranges, torch.ones_like(ranges)))
    return torch.where(usable, value, torch.nan).float()


def _plain(images: Tensor) -> Tensor:
    """Drop MONAI's meta data, which no number here needs."""
    return torch.as_tensor(images).as_subclass(Tensor).detach()


def _pair(predicted: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Check a pair of batches and return it in double precision."""
    if predicted.shape != reference.shape:
        raise ValueError(
            f"predicted and reference must have the same shape, "
            f"got {tuple(predicted.shape)} and {tuple(reference.shape)}"
        )
    if predicted.ndim != 4 or predicted.shape[1] != 1:
        raise ValueError(f"slices must be (B, 1, H, W), got {tuple(predicted.shape)}")
    return _plain(predicted).double(), _plain(reference).double()


def _positive_range(data_range: float | Tensor, like: Tensor) -> Tensor:
    """Return the data range as a tensor on the device of ``like``."""
    value = torch.as_tensor(data_range).as_subclass(Tensor).to(like)
    if not bool((value > 0).all()):
        raise ValueError(f"data_range must be positive, got {data_range}")
    return value
