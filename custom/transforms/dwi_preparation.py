"""Preparation of a diffusion series for a voxel-wise model: mask, scale and noise level."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import ensure_tuple
from numpy.typing import NDArray
from torch import Tensor

from custom.physics.diffusion.noise import LevelDistribution
from custom.physics.diffusion.noise_estimate import (
    FIT_PARAMETERS,
    NOISE_ESTIMATES,
    NoiseEstimate,
    ScaleEstimate,
    ScaleRule,
    estimate_scale,
    fit_noise,
    local_noise,
    volume_noise,
)
from custom.physics.intensity_statistics import clip_outliers
from custom.transforms.dwi_noise_levels import check_noise_levels, check_one_noise_level
from custom.transforms.voxel_map import read_mask, read_voxel_map

__all__ = ["DwiPreparationd", "head_mask", "scale_map"]

logger = logging.getLogger(__name__)

_ALL = "all"
# Median filter of the head mask: takes 5 % of the time of DIPY's radius of 4 and 4 passes (1 s for
# 600,000 voxels); masks were 2 to 11 % larger on three scans. The mask is dilated by one layer,
# since the filter rounds edges off (5 % of a phantom's tissue): an unrestored rim is worse than
# some background.
_MEDIAN = {"median_radius": 2, "numpass": 1, "dilate": 1}
_CHUNK = 65536  # signals at a time, which bounds the memory of the fits
# A signal this many times S0 is no signal of that S0: the background, or a failed fit.
_LARGEST_RATIO = 10.0
_ESTIMATES: dict[ScaleRule, tuple[ScaleEstimate, str]] = {
    "b0": ("b0", "mean of b <= 50 s/mm²"),
    "known": ("fit", "log-linear fit"),
}


class DwiPreparationd(MapTransform):
    """Find the voxels to restore, the scale of each, and its noise level.

    Adds ``image_mask`` (bool), ``image_scale`` (in the unit of the image; 1 outside the mask) and
    ``image_sigma`` (in units of the scale; 0 outside), and for the record ``mask_source``,
    ``scale_source``, ``noise_source``, ``noise_level`` (the median of ``image_sigma``),
    ``voxels_restored``, ``voxels_unusable`` (in the mask, but with a scale that is not positive,
    not finite, or below a tenth of the largest signal), the paths ``mask_file``, ``s0_file``,
    ``sigma_file``, ``relative_sigma_file`` if files are given, and with ``trained_levels`` the
    number ``voxels_beyond_trained_noise``, see
    :func:`~custom.transforms.dwi_noise_levels.check_noise_levels`.

    Args:
        keys: The series, in the order of ``b_rows`` and ``unweighted``; one key.
        scale_rule: Unit of the model's signals. ``b0``: the scale is the mean of the unweighted
            volumes; ``known``: it is the S0 of a log-linear fit, unless ``s0`` is given.
        mask: File of the voxels to restore; ``all``: all with signal; None: those of the head, by
            DIPY's ``median_otsu``.
        s0: The known S0, a number or a file: then it is the scale.
        sigma: The known noise level in the unit of the image, as tools write it, a number or a
            file.
        relative_sigma: The same in units of the scale (``s0`` if it is given, else by
            ``scale_rule``).
        noise_estimate: ``volume``: one number, by DIPY's ``estimate_sigma``; ``voxel``: a map, by
            DIPY's ``mppca``; ``fit``: one number, by the residuals of tensor fits.
        mask_key: Key of a mask, ``(1, X, Y, Z)``; where the data have it, ``mask`` is not used.
        noise_key: Key of the known deviation of the noise, a number in the unit of the image; where
            the data have it, given levels and ``noise_estimate`` are not used.
        trained_levels: Noise levels of the model's training, if known.

    Shape:
        Series: ``(M, X, Y, Z)``; maps: ``(1, X, Y, Z)``.

    Raises:
        ValueError: If ``keys`` is more than one key.
        ValueError: If ``noise_estimate`` is unknown, or two noise levels are given.
        ValueError: At the call, for files that do not fit, and as ``check_noise_levels``.
    """

    def __init__(
        self,
        keys: KeysCollection,
        scale_rule: ScaleRule,
        mask: str | Path | None = None,
        s0: str | float | None = None,
        sigma: str | float | None = None,
        relative_sigma: str | float | None = None,
        noise_estimate: NoiseEstimate = "volume",
        mask_key: str | None = None,
        noise_key: str | None = None,
        trained_levels: LevelDistribution | None = None,
    ) -> None:
        super().__init__(keys)
        if len(ensure_tuple(keys)) != 1:
            raise ValueError(f"keys must be one key, since the maps are named once, got {keys}")
        if noise_estimate not in NOISE_ESTIMATES:
            raise ValueError(f"noise_estimate must be one of {NOISE_ESTIMATES}: {noise_estimate!r}")
        self.scale_rule: ScaleRule = scale_rule
        check_one_noise_level(sigma, relative_sigma)
        self.mask, self.s0 = mask, s0
        self.sigma, self.relative_sigma = sigma, relative_sigma
        self.noise_estimate: NoiseEstimate = noise_estimate
        self.mask_key, self.noise_key = mask_key, noise_key
        self.trained_levels = trained_levels
        if s0 is not None and scale_rule == "b0":
            logger.warning(
                "the model was trained on signals divided by the mean of b <= 50 s/mm²: a known S0 "
                "suits one trained with S0 known (scale_rule 'known') better"
            )

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Make the maps."""
        result = dict(data)
        for key in self.key_iterator(result):
            image = data[key].as_subclass(Tensor).float()
            affine = np.asarray(data[key].affine, dtype=float)
            result.update(self._files())
            mask, result["mask_source"] = self._mask(image, data, affine)
            scale, result["scale_source"] = self._scale(image, mask, data, affine)
            usable = mask & torch.isfinite(scale) & (scale > 0)
            usable &= image.amax(0) <= _LARGEST_RATIO * scale
            result["voxels_restored"] = int(usable.sum())
            result["voxels_unusable"] = int(mask.sum()) - result["voxels_restored"]
            scale = torch.where(usable, scale, 1.0)
            sigma, result["noise_source"] = self._sigma(image, usable, scale, data, affine)
            sigma = torch.where(usable, sigma, 0.0)
            level = float(sigma[usable].median()) if usable.any() else 0.0
            result["noise_level"] = level
            maps = {"mask": usable, "scale": scale, "sigma": sigma}
            for name, values in maps.items():
                result[f"{key}_{name}"] = MetaTensor(values.unsqueeze(0), meta=data[key].meta)
            name = Path(str(result.get("source", "scan"))).name
            _log(name, result)
            if self.trained_levels is not None:
                beyond = check_noise_levels(
                    name, sigma[usable], self.trained_levels, self._remedy()
                )
                result["voxels_beyond_trained_noise"] = beyond
        return result

    def _files(self) -> dict[str, str]:
        """Return the paths of the files that are given."""
        names = ("mask", "s0", "sigma", "relative_sigma")
        given = {name: getattr(self, name) for name in names}
        return {
            f"{name}_file": str(Path(value).expanduser())
            for name, value in given.items()
            if isinstance(value, (str, Path)) and value != _ALL
        }

    def _mask(
        self, image: Tensor, data: Mapping[Hashable, Any], affine: NDArray[np.float64]
    ) -> tuple[Tensor, str]:
        """Return the voxels to restore, and the source of the mask."""
        if self.mask_key in data:
            return torch.as_tensor(data[self.mask_key]).as_subclass(Tensor)[0] > 0, "data"
        if self.mask is not None and self.mask != _ALL:
            found = read_mask("mask", self.mask, image.shape[1:], affine)
            return torch.from_numpy(found), "file"
        # Unweighted volumes have the most signal, and so the clearest head.
        unweighted = data["unweighted"]
        mean = image[unweighted].mean(0) if bool(unweighted.any()) else image.mean(0)
        if self.mask is None:
            head = head_mask(mean.numpy())
            if head.any():
                return torch.from_numpy(head), "median_otsu"
            logger.warning("median_otsu finds no head: all voxels with signal are restored")
        return (image > 0).any(0), _ALL

    def _scale(
        self,
        image: Tensor,
        mask: Tensor,
        data: Mapping[Hashable, Any],
        affine: NDArray[np.float64],
    ) -> tuple[Tensor, str]:
        """Return the scale of the voxels in the mask, 1 elsewhere, and its source."""
        if self.s0 is not None:
            known = read_voxel_map("s0", self.s0, image.shape[1:], affine, zero_allowed=False)
            scale = torch.as_tensor(known, dtype=torch.float32)
            return scale.expand(mask.shape), "given"
        scale = scale_map(image, mask, data["b_rows"], data["unweighted"], self.scale_rule)
        return scale, _ESTIMATES[self.scale_rule][1]

    def _sigma(
        self,
        image: Tensor,
        mask: Tensor,
        scale: Tensor,
        data: Mapping[Hashable, Any],
        affine: NDArray[np.float64],
    ) -> tuple[Tensor, str]:
        """Return the noise level in units of the scale, and its source."""
        if self.noise_key in data:
            return float(data[self.noise_key]) / scale, "data"
        for name, unit in (("sigma", scale), ("relative_sigma", torch.ones_like(scale))):
            given = getattr(self, name)
            if given is not None:
                known = read_voxel_map(name, given, image.shape[1:], affine, zero_allowed=True)
                return torch.as_tensor(known, dtype=torch.float32) / unit, "given"
        volumes = np.moveaxis(image.numpy(), 0, -1)
        if self.noise_estimate == "voxel":
            return torch.from_numpy(local_noise(volumes, mask.numpy())) / scale, "mppca"
        # With seven measurements or fewer a fit leaves no residual.
        if self.noise_estimate == "fit" and len(image) > FIT_PARAMETERS:
            signals = image.movedim(0, -1)[mask]
            level = fit_noise(signals[signals.mean(1) > 0], data["b_rows"])
            return level / scale, "fit residuals"
        weighted = ~np.asarray(data["unweighted"])
        return volume_noise(volumes[..., weighted]) / scale, "estimate_sigma"

    def _remedy(self) -> str:
        """Return what a user can do about noise that no training had."""
        if self.sigma is not None:
            return "sigma is taken in the unit of the image: give a share of S0 as relative_sigma"
        if self.relative_sigma is not None:
            return "relative_sigma is a share of S0: give a level in the unit of the image as sigma"
        return "train a model for such noise (levels in train.yaml), or give sigma if it is known"


def scale_map(
    series: Tensor, mask: Tensor, b_rows: Tensor, unweighted: Tensor, scale_rule: ScaleRule
) -> Tensor:
    """Return the scale of the voxels in a mask, 1 elsewhere.

    Shape:
        ``series``: ``(M, X, Y, Z)``; ``mask``, output: ``(X, Y, Z)``.
    """
    estimate = _ESTIMATES[scale_rule][0]
    signals = torch.split(series.movedim(0, -1)[mask], _CHUNK)
    scale = torch.ones(mask.shape)
    scale[mask] = torch.cat([estimate_scale(s, b_rows, unweighted, estimate) for s in signals])
    return scale


def head_mask(mean: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return the voxels of the head, ``(X, Y, Z)``, from a volume without diffusion weighting."""
    from dipy.segment.mask import median_otsu

    # median_otsu's threshold of the whole range would follow a bright spot.
    return np.asarray(median_otsu(clip_outliers(mean), **_MEDIAN)[1], dtype=bool) & (mean > 0)


def _log(name: str, result: Mapping[Hashable, Any]) -> None:
    """Log the findings."""
    logger.log(
        logging.INFO if result["voxels_restored"] else logging.WARNING,
        "%s: %d voxels to restore (mask: %s), %d without a usable scale (%s) left as they are; "
        "noise %.3g of S0 (%s)",
        name,
        result["voxels_restored"],
        result["mask_source"],
        result["voxels_unusable"],
        result["scale_source"],
        result["noise_level"],
        result["noise_source"],
    )
