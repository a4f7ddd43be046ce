"""Contrast-to-noise ratio of a region of interest against a background region."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["BACKGROUND_LABEL", "ROI_LABEL", "cnr_problem", "contrast_to_noise_ratio"]

ROI_LABEL = 1
BACKGROUND_LABEL = 2


def cnr_problem(image: NDArray[Any], regions: NDArray[Any]) -> str | None:
    """Return the reason why a slice has no contrast-to-noise ratio.

    Args:
        image: Intensities.
        regions: 1 in the region of interest, 2 in the background, anything else outside.

    Shape:
        Both the same, for example ``(H, W)``.

    Returns:
        The reason in a few words, or ``None`` if the ratio exists.
    """
    if not (regions == ROI_LABEL).any():
        return "no region of interest drawn"
    background = image[regions == BACKGROUND_LABEL]
    # A single pixel has no deviation.
    if background.size < 2:
        return "no background drawn"
    # Not the deviation, which the rounding of the mean can lift above 0.
    if float(np.ptp(background)) == 0:
        return "constant background"
    return None


def contrast_to_noise_ratio(image: NDArray[Any], regions: NDArray[Any]) -> float:
    r"""Return the contrast-to-noise ratio of a region.

    .. math:: \mathrm{CNR} = (\mu_\mathrm{ROI} - \mu_b) / \sigma_b

    ``\sigma_b`` is the deviation of all background pixels (divisor ``N``), so repeating pixels
    (nearest-neighbour interpolation) does not change the ratio. The ratio is dimensionless and
    independent of the gain; it is negative where the region is darker.

    Args:
        image: Intensities.
        regions: 1 in the region of interest, 2 in the background, anything else outside.

    Shape:
        Both the same, for example ``(H, W)``.

    Raises:
        ValueError: If the shapes differ or the ratio does not exist (:func:`cnr_problem`).

    Source:
        docs/methods/micro_mri_denoise.md, "Evaluation" (equation 13).
    """
    if image.shape != regions.shape:
        raise ValueError(f"regions must have the image's shape {image.shape}, got {regions.shape}")
    problem = cnr_problem(image, regions)
    if problem is not None:
        raise ValueError(f"regions give no contrast-to-noise ratio: {problem}")
    values = np.asarray(image, dtype=float)
    background = values[regions == BACKGROUND_LABEL]
    return float((values[regions == ROI_LABEL].mean() - background.mean()) / background.std())
