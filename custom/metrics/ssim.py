"""Structural similarity of images in 2D and 3D."""

from __future__ import annotations

import numpy as np
import torch
from monai.metrics.regression import compute_ssim_and_cs
from torch import Tensor

from custom.metrics.image_pairs import (
    PairMetric,
    double_pair,
    mean_of_each,
    positive_range,
)

__all__ = ["SSIM", "global_similarity", "similarity_map", "structural_similarity", "within_windows"]

_WINDOW = 11  # voxels; a Gaussian of SSIM_SIGMA reaches 3.5 sigma (Wang et al. 2004)
SSIM_SIGMA = 1.5  # voxels


def similarity_map(predicted: Tensor, reference: Tensor, data_range: float | Tensor) -> Tensor:
    """Return the structural similarity at every voxel whose window lies wholly inside.

    A Gaussian window of deviation 1.5 voxels, 11 voxels wide, K1 = 0.01, K2 = 0.03, moments of the
    population: scikit-image's ``structural_similarity(..., gaussian_weights=True, sigma=1.5,
    use_sample_covariance=False)``. Slices are measured by MONAI, all at once and on their device,
    in single precision: means agree to 2e-5. Volumes are measured by scikit-image itself on the
    CPU, one axis after the other, where MONAI would sum 1331 products a voxel.

    Args:
        predicted: Images to judge.
        reference: Images to compare with.
        data_range: Data range in the units of the images; one number, or one an image.

    Shape:
        Images: ``(B, 1, *spatial)``, at least 11 voxels along each axis; ``data_range``: ``()`` or
        ``(B,)``; output: 10 voxels less along each axis.

    Raises:
        ValueError: If shapes do not fit, or a size or ``data_range`` is too small.

    Source:
        Wang et al., "Image quality assessment: from error visibility to structural similarity",
        2004.
    """
    predicted, reference = double_pair(predicted, reference)
    if min(predicted.shape[2:]) < _WINDOW:
        raise ValueError(
            f"SSIM needs at least {_WINDOW} voxels along each axis, "
            f"got {tuple(predicted.shape[2:])}"
        )
    ranges = positive_range(data_range, predicted).expand(len(predicted))
    if predicted.ndim == 5:
        maps = [_of_volume(*pair) for pair in zip(predicted, reference, ranges, strict=True)]
        return torch.stack(maps)
    # Divided by its range every slice has the range 1, so one call serves ranges that differ.
    scale = ranges.reshape(-1, 1, 1, 1)
    similarity, _ = compute_ssim_and_cs(
        predicted / scale,
        reference / scale,
        spatial_dims=2,
        kernel_size=(_WINDOW, _WINDOW),
        kernel_sigma=(SSIM_SIGMA, SSIM_SIGMA),
        data_range=1.0,
    )
    return similarity


def structural_similarity(
    predicted: Tensor,
    reference: Tensor,
    data_range: float | Tensor,
    mask: Tensor | None = None,
) -> Tensor:
    """Return the mean of :func:`similarity_map` of each image.

    Args:
        predicted: Images to judge.
        reference: Images to compare with.
        data_range: Data range in the units of the images; one number, or one an image.
        mask: The voxels that count; by default all whose window lies inside.

    Shape:
        Images, mask: ``(B, 1, *spatial)``; output: ``(B,)``.

    Raises:
        ValueError: See :func:`similarity_map`; or if a mask has no voxel that counts.
    """
    values = similarity_map(predicted, reference, data_range)
    return mean_of_each(values, None if mask is None else within_windows(mask))


def global_similarity(
    predicted: Tensor,
    reference: Tensor,
    data_range: float | Tensor,
    mask: Tensor | None = None,
) -> Tensor:
    r"""Return the structural similarity of the moments of each whole image.

    .. math:: \frac{(2 m_x m_y + c_1)(2 c_{xy} + c_2)}{(m_x^2 + m_y^2 + c_1)(v_x + v_y + c_2)}

    with means, variances and covariance of the population, :math:`c_k = (K_k R)^2`, ``K1 = 0.01``,
    ``K2 = 0.03`` and the data range ``R``. It sees no structure smaller than the image.

    Args:
        predicted: Images to judge.
        reference: Images to compare with.
        data_range: Data range in the units of the images; one number, or one an image.
        mask: The voxels that count; by default all.

    Shape:
        Images, mask: ``(B, 1, *spatial)``; output: ``(B,)``.

    Raises:
        ValueError: If shapes do not fit, or a mask is empty.

    Source:
        docs/methods/brain_3t7t_sr.md, "Evaluation".
    """
    x, y = double_pair(predicted, reference)
    width = positive_range(data_range, x).expand(len(x))

    def mean(values: Tensor) -> Tensor:
        return mean_of_each(values, mask)

    mean_x, mean_y = mean(x), mean(y)
    covariance = mean(x * y) - mean_x * mean_y
    variances = mean(x * x) - mean_x**2 + mean(y * y) - mean_y**2
    first, second = (0.01 * width) ** 2, (0.03 * width) ** 2
    alike = (2 * mean_x * mean_y + first) * (2 * covariance + second)
    return alike / ((mean_x**2 + mean_y**2 + first) * (variances + second))


def within_windows(mask: Tensor) -> Tensor:
    """Return the part of a mask that :func:`similarity_map` has a value for.

    Shape:
        ``(B, 1, *spatial)``; output: 10 voxels less along each axis.
    """
    margin = _WINDOW // 2
    for axis in range(2, mask.ndim):
        mask = mask.narrow(axis, margin, mask.shape[axis] - 2 * margin)
    return mask


class SSIM(PairMetric):
    """Mean SSIM over images; see :class:`~custom.metrics.image_pairs.PairMetric`."""

    measure = staticmethod(structural_similarity)


def _of_volume(predicted: Tensor, reference: Tensor, data_range: Tensor) -> Tensor:
    """Return the map of one volume ``(1, D, H, W)``."""
    from skimage.metrics import structural_similarity as of_scikit_image

    _, values = of_scikit_image(  # type: ignore[no-untyped-call]
        predicted[0].cpu().numpy(),
        reference[0].cpu().numpy(),
        data_range=float(data_range),
        gaussian_weights=True,
        sigma=SSIM_SIGMA,
        use_sample_covariance=False,
        full=True,
    )
    whole = torch.from_numpy(np.asarray(values)).to(predicted.device)
    # scikit-image also has values at the border, where windows reach beyond the volume.
    return within_windows(whole[None, None])[0]
