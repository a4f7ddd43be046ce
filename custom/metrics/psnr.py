"""Mean squared error, its root relative to the reference, and PSNR of images in 2D and 3D."""

from __future__ import annotations

import torch
from torch import Tensor

from custom.metrics.image_pairs import (
    PairMetric,
    double_pair,
    mean_of_each,
    positive_range,
)

__all__ = ["PSNR", "mean_squared_error", "normalised_error", "peak_signal_to_noise_ratio"]


def mean_squared_error(predicted: Tensor, reference: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return the mean squared difference of each image, in squared units of the input.

    Args:
        predicted: Images to judge.
        reference: Images to compare with.
        mask: The voxels that count; by default all.

    Shape:
        All ``(B, 1, *spatial)``; output: ``(B,)``, float64.

    Raises:
        ValueError: If the shapes do not fit or a mask is empty.
    """
    predicted, reference = double_pair(predicted, reference)
    return mean_of_each((predicted - reference).square(), mask)


def normalised_error(predicted: Tensor, reference: Tensor, mask: Tensor | None = None) -> Tensor:
    r"""Return the normalised root mean squared error, :math:`\|x - y\|_2 / \|y\|_2`.

    Args:
        predicted: ``x``, the images to judge.
        reference: ``y``.
        mask: The voxels that count; by default all.

    Shape:
        All ``(B, 1, *spatial)``; output: ``(B,)``, float64.

    Raises:
        ValueError: If the shapes do not fit, or a reference is 0 everywhere.
    """
    size = mean_squared_error(reference, torch.zeros_like(reference), mask)
    if not bool((size > 0).all()):
        raise ValueError("reference must not be 0 everywhere")
    return (mean_squared_error(predicted, reference, mask) / size).sqrt()


def peak_signal_to_noise_ratio(
    predicted: Tensor,
    reference: Tensor,
    data_range: float | Tensor,
    mask: Tensor | None = None,
) -> Tensor:
    r"""Return the peak signal-to-noise ratio of each image in decibel.

    .. math:: 10 \log_{10}(R^2 / \mathrm{MSE})

    Args:
        predicted: Images to judge.
        reference: Images to compare with.
        data_range: ``R``, in the units of the images; one number, or one an image.
        mask: The voxels that count; by default all.

    Shape:
        Images, mask: ``(B, 1, *spatial)``; ``data_range``: ``()`` or ``(B,)``; output: ``(B,)``,
        float64. Equal images give infinity.

    Raises:
        ValueError: If the shapes do not fit, a mask is empty, or ``data_range`` is not positive.
    """
    error = mean_squared_error(predicted, reference, mask)
    return 10 * torch.log10(positive_range(data_range, error).square() / error)


class PSNR(PairMetric):
    """Mean PSNR over images; see :class:`~custom.metrics.image_pairs.PairMetric`."""

    measure = staticmethod(peak_signal_to_noise_ratio)
