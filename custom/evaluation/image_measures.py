"""The measures of images, of slices and of volumes, whole or in a region."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from custom.evaluation.measure import Measure
from custom.evaluation.units import Compared, Images, Region
from custom.metrics.image_pairs import foreground, mean_of_each
from custom.metrics.kspace_error import central_spectrum_error, spectrum_band
from custom.metrics.perceptual import PerceptualDistance, slicewise_distance
from custom.metrics.psnr import mean_squared_error, normalised_error, peak_signal_to_noise_ratio
from custom.metrics.ssim import global_similarity, within_windows
from custom.metrics.unmeasured_band import unmeasured_band
from custom.physics.intensity_statistics import OUTLIER, outlier_limit
from custom.physics.noise_level import second_difference

__all__ = [
    "band_correlation",
    "band_power",
    "bright_voxels",
    "brightness",
    "flat_tissue",
    "global_ssim",
    "item_mask",
    "kspace_error",
    "lpips",
    "mse",
    "noise",
    "nrmse",
    "psnr",
    "ssim",
    "tissue_interior",
]

# Each takes the name of a region (by default the whole image) and fields of the measure to
# override: label, unit, digits, convention.


def mse(region: str | None = None, **said: Any) -> Measure:
    """Return the mean squared error."""
    text = "in squared units of the images"
    measure = Measure("mse", "MSE", "", "lower", None, text, _of_pair(mean_squared_error))
    return _measure(measure, region, said)


def nrmse(region: str | None = None, **said: Any) -> Measure:
    """Return the normalised root mean squared error."""
    text = "norm of the error over norm of the reference"
    measure = Measure("nrmse", "NRMSE", "", "lower", None, text, _of_pair(normalised_error))
    return _measure(measure, region, said)


def brightness(region: str | None = None, **said: Any) -> Measure:
    """Return the mean of an image over that of its reference."""
    text = "mean of the image over that of the reference"
    measure = Measure("brightness", "brightness", "", "target", 3, text, _of_pair(_brightness))
    return _measure(measure, region, said)


def noise(region: str | None = None, **said: Any) -> Measure:
    """Return the deviation of the noise over that of the reference's.

    It is that of second differences in the plane, which keep white noise and little of the anatomy
    (:mod:`custom.physics.noise_level`). Ghosts count as noise.
    """
    text = "deviation of second differences in the plane, over the reference's: 1 is its noise"
    measure = Measure("noise", "noise", "", "target", 2, text, _of_pair(_noise))
    return _measure(measure, region, said)


def psnr(region: str | None = None, **said: Any) -> Measure:
    """Return the peak signal-to-noise ratio."""
    text = "10 log10(data range² / MSE); images equal to the reference are counted, not averaged"
    return _measure(Measure("psnr", "PSNR", "dB", "higher", 2, text, _psnr), region, said)


def ssim(region: str | None = None, **said: Any) -> Measure:
    """Return the structural similarity."""
    text = (
        "Gaussian window of 1.5 voxels, 11 wide, K1 0.01, K2 0.03; mean over the voxels whose "
        "window lies inside the image"
    )
    return _measure(Measure("ssim", "SSIM", "", "higher", 3, text, _ssim), region, said)


def global_ssim(region: str | None = None, **said: Any) -> Measure:
    """Return the structural similarity of the moments of the whole image or region."""
    text = "of the moments of the whole image or region, K1 0.01, K2 0.03"
    measure = Measure("global_ssim", "SSIM", "", "higher", 3, text, _global_ssim)
    return _measure(measure, region, said)


def kspace_error(scale: int = 2, most: int = 50, **said: Any) -> Measure:
    """Return the normalised error of the centre of k-space of volumes.

    Args:
        scale: Ratio of the grids, which bounds the centre.
        most: Largest number of samples along each axis.
        **said: Fields of the measure to override.
    """

    def measure(compared: Compared) -> list[float]:
        pairs = zip(compared.predicted[:, 0], compared.reference[:, 0], strict=True)
        return [
            central_spectrum_error(one, other, spectrum_band(other.shape, scale, most))
            for one, other in pairs
        ]

    text = (
        f"norm of the error over norm of the reference in the central {most} samples of k-space "
        "along each axis, or what the low-resolution grid holds if that is less"
    )
    return _measure(
        Measure("kspace_error", "k-space error", "", "lower", None, text, measure), None, said
    )


def band_power(scale: int = 2, **said: Any) -> Measure:
    """Return the power beyond the band of a grid ``scale`` times coarser, over the reference's."""
    text = "beyond the band of the coarse grid; power without correlation is invented texture"
    name = "power above the band"
    made = Measure("band_power", name, "", "target", 2, text, _of_band(0, scale))
    return replace(made, **said)


def band_correlation(scale: int = 2, **said: Any) -> Measure:
    """Return the correlation with the reference beyond the band of a grid so many times coarser."""
    text, measure = "beyond the band of the coarse grid", _of_band(1, scale)
    made = Measure("band_correlation", "its correlation", "", "higher", 2, text, measure)
    return replace(made, **said)


def lpips(weights: str | Path, **said: Any) -> Measure:
    """Return the learned perceptual distance; of volumes the mean over slices of the last axis.

    Args:
        weights: See :class:`~custom.metrics.perceptual.PerceptualDistance`.
        **said: Fields of the measure to override.
    """
    distance = PerceptualDistance(weights)

    def measure(compared: Compared) -> Tensor:
        pair = (compared.predicted, compared.reference)
        if pair[0].ndim == 5:
            return slicewise_distance(*pair, compared.data_range, distance)
        return torch.as_tensor(distance(*pair, compared.data_range))

    text = "AlexNet, of volumes the mean over the slices of the last axis; trained on photographs"
    return _measure(Measure("lpips", "LPIPS", "", "lower", 3, text, measure), None, said)


def _measure(measure: Measure, region: str | None, said: dict[str, Any]) -> Measure:
    """Return a measure, of a region, with the given fields overridden."""
    if region is not None:
        measure = replace(
            measure,
            name=f"{measure.name}_{region}",
            label=f"{measure.label}, {region}",
            function=_within(measure.function, region),
        )
    return replace(measure, **said)


def _within(function: Callable[..., Any], region: str) -> Callable[[Compared], Any]:
    """Return a function of the voxels of a region; None where the region is unknown."""

    def within(compared: Compared) -> Any:
        mask = compared.images.mask(region)
        return None if mask is None else function(compared, mask)

    return within


def _of_band(which: int, scale: int) -> Callable[[Compared], list[float]]:
    """Return a function that gives power (0) or correlation (1) beyond the measured band."""

    def measure(compared: Compared) -> list[float]:
        pairs = zip(compared.predicted[:, 0], compared.reference[:, 0], strict=True)
        return [
            unmeasured_band(one.cpu().numpy(), other.cpu().numpy(), scale)[which]
            for one, other in pairs
        ]

    return measure


def _of_pair(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return a function of the compared images from one of two images and a mask."""

    def measure(compared: Compared, mask: Tensor | None = None) -> Tensor:
        return function(compared.predicted, compared.reference, mask)

    return measure


def _brightness(predicted: Tensor, reference: Tensor, mask: Tensor | None) -> Tensor:
    return mean_of_each(predicted, mask) / mean_of_each(reference, mask)


def _noise(predicted: Tensor, reference: Tensor, mask: Tensor | None) -> Tensor:
    changes = [second_difference(second_difference(x, -2), -1) for x in (predicted, reference)]
    found, expected = (mean_of_each(change.square(), mask) for change in changes)
    return (found / expected).sqrt()


def _psnr(compared: Compared, mask: Tensor | None = None) -> Tensor:
    return peak_signal_to_noise_ratio(
        compared.predicted, compared.reference, compared.data_range, mask
    )


def _ssim(compared: Compared, mask: Tensor | None = None) -> Tensor:
    if mask is None:
        return mean_of_each(compared.similarity)
    inside = within_windows(mask)
    if not bool(inside.flatten(1).any(1).all()):
        raise ValueError("nothing of a region is farther than 5 voxels from the border")
    return mean_of_each(compared.similarity, inside)


def _global_ssim(compared: Compared, mask: Tensor | None = None) -> Tensor:
    return global_similarity(compared.predicted, compared.reference, compared.data_range, mask)


def item_mask(key: str = "mask") -> Region:
    """Return the region where an image of the item is above 0; unknown where it is not there."""

    def region(images: Images) -> Tensor | None:
        mask = images.image(key)
        return None if mask is None else mask > 0

    return region


def bright_voxels(images: Images) -> Tensor:
    """Return the voxels of each reference above Otsu's threshold, a region of :class:`Volumes`."""
    masks = [foreground(reference[0].cpu().numpy()) for reference in images.reference]
    return torch.from_numpy(np.stack(masks)).unsqueeze(1)


def tissue_interior(images: Images) -> Tensor:
    """Return the inside of what each reference slice shows, a region of :class:`Slices`.

    Tissue is what is above a quarter of its median, with its holes; its outer three voxels are left
    out, where a cut edge is an easy gain. A slice that has no more tissue counts whole.
    """
    masks = []
    for reference in images.reference:
        values = reference[0].cpu().numpy()
        tissue = ndimage.binary_fill_holes(values > outlier_limit(values) / OUTLIER / 4)
        inside = ndimage.binary_erosion(tissue, np.ones((3, 3)), iterations=3, border_value=1)
        masks.append(inside if inside.any() else np.ones_like(inside))
    return torch.from_numpy(np.stack(masks)).unsqueeze(1)


def flat_tissue(images: Images) -> Tensor:
    """Return the quarter of :func:`tissue_interior` where the reference is flattest.

    The gradient of the reference, smoothed by two voxels, is least there: mostly white matter. A
    stand-in for it where no segmentation is at hand.
    """
    masks = []
    for reference, inside in zip(images.reference, tissue_interior(images).numpy(), strict=True):
        slope = ndimage.gaussian_gradient_magnitude(reference[0].double().cpu().numpy(), 2.0)
        masks.append(inside[0] & (slope <= np.quantile(slope[inside[0]], 0.25)))
    return torch.from_numpy(np.stack(masks)).unsqueeze(1)
