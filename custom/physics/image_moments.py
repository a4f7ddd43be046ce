"""Standardise images to zero mean and unit variance, and invert it."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from custom.physics.intensity_statistics import outlier_limit, reference_intensity
from custom.setting_checks import check_choice

__all__ = [
    "MomentsForm",
    "image_moments",
    "standardise",
    "unstandardise",
]

MomentsForm = Literal["tissue", "centred", "printed"]

# Relative to the root mean square. A slice that varies less is constant to within the rounding of
# float32; dividing by its deviation would amplify the rounding errors to an image.
_FLAT = 1e-6


def image_moments(image: Tensor, form: MomentsForm = "tissue") -> Tensor:
    r"""Return centre and scale by which an image is standardised.

    .. math:: c = \operatorname{mean}(x), \qquad s = \sqrt{\operatorname{mean}((x - c)^2)}

    Outliers do not count, see :func:`custom.physics.intensity_statistics.outlier_limit`.

    Args:
        image: One image.
        form: ``centred`` as above; ``printed`` divides by the root mean square of the image as
            it is, :math:`s = \sqrt{\operatorname{mean}(x^2)}`; ``tissue`` takes half the median of
            the tissue for both, so that air becomes -1 and tissue about 1, and a bright rim
            changes neither by much.

    Returns:
        ``(2,)`` float32, centre and scale, in the units of ``image``. The scale of a constant
        image is 1 with ``centred`` and ``printed``, and of an empty one 1/2 with ``tissue``.

    Shape:
        ``image``: any.

    Erratum:
        Printed as ``form="printed"``, which does not give unit variance once the mean is removed.
        Ours is the standard deviation.

    Source:
        docs/methods/micro_mri_denoise.md, "Anchored path diffusion"; Conejo Rupp et al. 2025,
        section 4.3.
    """
    check_choice("form", form, get_args(MomentsForm))
    # A plain Tensor, not MONAI's MetaTensor; float32, since squares of raw intensities overflow
    # half precision.
    values = torch.as_tensor(image).as_subclass(Tensor).float()
    if form == "tissue":
        return (reference_intensity(values, "tissue_median") / 2).repeat(2)
    kept = ~(values.abs() > outlier_limit(values))  # NaN is kept, so that it is noticed
    # The image itself where all are kept, since the order of a sum changes its last digit.
    values = values if kept.all() else values[kept]
    centre = values.mean()
    root_mean_square = values.square().mean().sqrt()
    # Of the population: the standardised image has the variance 1 exactly.
    scale = values.std(correction=0) if form == "centred" else root_mean_square
    varies = scale > _FLAT * root_mean_square
    return torch.stack([centre, torch.where(varies, scale, torch.ones_like(scale))])


def standardise(image: Tensor, moments: Tensor) -> Tensor:
    """Subtract the centre from images and divide them by the scale.

    Shape:
        ``image``: any with ``moments`` ``(2,)``; ``(B, C, *spatial)`` with ``(B, 2)``.
    """
    centre, scale = _columns(moments, image)
    return (image - centre) / scale


def unstandardise(image: Tensor, moments: Tensor) -> Tensor:
    """Invert :func:`standardise`; the shapes are the same."""
    centre, scale = _columns(moments, image)
    return image * scale + centre


def _columns(moments: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
    """Return centre and scale, reshaped to broadcast over the images."""
    if moments.ndim == 1:
        return moments[0], moments[1]
    centre, scale = moments.reshape(-1, 2, *[1] * (image.ndim - 1)).unbind(1)
    return centre, scale
