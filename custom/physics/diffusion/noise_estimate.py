"""Estimate the scale S0 and the noise of a diffusion series: DIPY's estimators, or tensor fits."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from custom.physics.diffusion.neighbours import patch_widths
from custom.physics.diffusion.tensor import tensor_signal
from custom.physics.diffusion.tensor_fit import fit_log_linear
from custom.physics.intensity_statistics import clip_outliers

__all__ = [
    "NOISE_ESTIMATES",
    "SCALE_RULES",
    "NoiseEstimate",
    "ScaleEstimate",
    "ScaleRule",
    "estimate_scale",
    "fit_noise",
    "local_noise",
    "volume_noise",
]

NoiseEstimate = Literal["volume", "voxel", "fit"]
NOISE_ESTIMATES: tuple[NoiseEstimate, ...] = ("volume", "voxel", "fit")
_CHUNK = 65536  # signals at a time, which bounds the memory of the fits
FIT_PARAMETERS = 7  # of a fit with S0; with no more measurements the residual is always 0
ScaleRule = Literal["known", "b0"]
ScaleEstimate = Literal["b0", "fit"]
# Unit of a network's signals, by the number in its state dict: the true S_0, or the mean of their
# own unweighted measurements.
SCALE_RULES: tuple[ScaleRule, ...] = ("known", "b0")


def volume_noise(weighted: NDArray[np.float32]) -> float:
    """Return one noise level of a series: the median of those of its weighted volumes.

    Only voxels that are not 0 in the first volume count, since scanners and programs set the
    background to 0. Outliers are cut, since DIPY averages squares.

    Args:
        weighted: Diffusion-weighted volumes, ``(X, Y, Z, M)``.

    Source:
        P. Coupe et al., IEEE Transactions on Medical Imaging 27 (2008), 425-441, as
        ``dipy.denoise.noise_estimate.estimate_sigma``.
    """
    from dipy.denoise.noise_estimate import estimate_sigma

    # The mean over no voxels would be NaN.
    if not weighted[..., 0].any():
        return 0.0
    # DIPY 1.12 has it the other way round: True leaves out the zeros of the first volume.
    calm = np.stack([clip_outliers(volume) for volume in np.moveaxis(weighted, -1, 0)], -1)
    return float(np.median(estimate_sigma(calm, disable_background_masking=True)))


def local_noise(series: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the noise level around every voxel, from the small eigenvalues of patches (MP-PCA).

    Where there is none (edges of the volume, patches without signal) it is the median.

    Args:
        series: ``(X, Y, Z, M)``.
        mask: Where it is wanted, ``(X, Y, Z)``.

    Source:
        J. Veraart, E. Fieremans, D. S. Novikov, Magnetic Resonance in Medicine 76 (2016),
        1582-1593, as ``dipy.denoise.localpca.mppca``.
    """
    from dipy.denoise.localpca import mppca

    radius = np.array(patch_widths(series.shape[:3], series.shape[-1])) // 2
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # 0 / 0 where a patch holds no signal
        sigma = mppca(series, mask=mask, patch_radius=radius, return_sigma=True)[1]
    known = mask & np.isfinite(sigma) & (sigma > 0)
    level = float(np.median(sigma[known])) if known.any() else volume_noise(series)
    return np.where(known, sigma, level).astype(np.float32)


def fit_noise(signals: Tensor, b_rows: Tensor) -> float:
    """Return one noise level, from the residuals of log-linear tensor fits.

    The median of the voxels' mean squares over the median of the chi-square distribution: robust
    against voxels where a tensor does not fit.

    Args:
        signals: ``(n, M)``, all of which have a positive mean.
        b_rows: b-matrix rows of the scan, ``(M, 6)``.

    Raises:
        ValueError: If there are fewer than eight measurements.
    """
    from scipy.stats import chi2

    freedom = signals.shape[1] - FIT_PARAMETERS
    if freedom < 1:
        raise ValueError(f"signals must be eight or more a voxel, got {signals.shape[1]}")
    squares = []
    for chunk in torch.split(signals, _CHUNK):
        # The floor of the logarithm is meant for signals of the order of one.
        unit = chunk.mean(1, keepdim=True)
        tensors, scale = fit_log_linear(chunk / unit, b_rows, scale_known=False)
        fitted = scale.unsqueeze(1) * tensor_signal(tensors, b_rows) * unit
        squares.append((chunk - fitted).square().sum(1))
    # nanmedian: one fit that overflows must not make the whole estimate NaN.
    return float((torch.cat(squares).nanmedian() / float(chi2.median(freedom))).sqrt())


def estimate_scale(
    signals: Tensor, b_rows: Tensor, unweighted: Tensor, estimate: ScaleEstimate
) -> Tensor:
    r"""Return an estimate of each signal's :math:`S_0`, in the unit of the signals.

    ``b0`` is the mean of the unweighted measurements, which at b = 50 s/mm² lies a few percent
    below :math:`S_0`; ``fit`` is that of a weighted log-linear fit to all measurements, which does
    not.

    Args:
        signals: Measured signals.
        b_rows: b-matrix rows, from :func:`custom.physics.diffusion.tensor.b_matrix`.
        unweighted: Which measurements count as b = 0.
        estimate: ``b0`` or ``fit``.

    Shape:
        ``signals``: ``(B, M)``; ``b_rows``: ``(M, 6)``; ``unweighted``: ``(M,)`` bool; output:
        ``(B,)``.

    Raises:
        ValueError: If no measurement is unweighted, or ``estimate`` is unknown.
    """
    if not bool(unweighted.any()):
        raise ValueError("unweighted must mark at least one measurement, got none")
    mean = signals[:, unweighted].mean(1)
    if estimate == "b0":
        return mean
    if estimate != "fit":
        raise ValueError(f"estimate must be 'b0' or 'fit', got {estimate!r}")
    # The floor of the logarithm is meant for signals of the order of one.
    unit = mean.clamp_min(torch.finfo(signals.dtype).tiny).unsqueeze(1)
    fitted = fit_log_linear(signals / unit, b_rows, scale_known=False)[1]
    return fitted * unit.squeeze(1)
