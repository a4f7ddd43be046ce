"""Less noise in a diffusion series by the neighbours of each voxel, and how much of it is left."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from custom.physics.diffusion.tensor import tensor_signal
from custom.physics.diffusion.tensor_fit import fit_log_linear

__all__ = [
    "neighbour_places",
    "neighbour_weights",
    "noise_correlation",
    "patch_components",
    "patch_widths",
    "reduce_noise",
    "weighted_mean",
    "weighted_share",
]

_FITS = 65536  # signals at a time
_STRIDE = 2  # of patches along each axis: an eighth of them all, in an eighth of the time
_CHUNK = 8_000_000  # values of patches at a time, which bounds the memory
# Measured on a real series acquired twice (docs/results/dwi_real.md): a lower threshold and softer
# weights than usual, since two mild steps lose less than one strong one.
_THRESHOLD = 0.7  # of the largest eigenvalue that noise has
_SOFTNESS = 0.7  # noise variances of difference at which a neighbour's weight falls to 1 / e
# A larger difference is no noise, however strong that is: softer weights mix tissues, which lowers
# anisotropy. On a real repeat with noise of 0.14 of S0 the bias in white matter fell from -0.13 to
# -0.09, for 7 % more squared error; at 0.07 and less nothing changes.
_UNLIKE = 0.1  # of the largest signal: the difference at which a weight is 1 / e at the latest
_FREEDOM = 7  # of the model's signals in a voxel: tensor and scale
_ROUNDING = 1e-6  # of the largest eigenvalue: what single precision leaves of one that is 0
_OFFSETS = tuple(itertools.product((-1, 0, 1), repeat=3))


def reduce_noise(
    series: Tensor, mask: Tensor, sigma: Tensor, b_rows: Tensor
) -> tuple[Tensor, Tensor]:
    r"""Average each voxel with its like neighbours.

    First local patches lose the components that noise explains (:func:`patch_components`); then
    each voxel becomes the mean of its 27 nearest, weighted by how like its signals theirs are
    (:func:`neighbour_weights`). What is left is the noise of a voxel whose level is

    .. math:: \sigma^2 \min(1, r M / 7) \sum_{ij} w_i w_j \rho_{ij}

    with the share ``r`` of noise that the components keep, which lies where signals of tensors lie
    and so counts in full for their seven parameters, and the correlation ``rho`` of noise between
    neighbours, found in the residuals of tensor fits.

    Args:
        series: Noisy series; what is not finite counts as 0.
        mask: Voxels to restore; others neither change nor count as neighbours.
        sigma: Noise level, in the unit of the series.
        b_rows: b-matrix rows of the scan.

    Shape:
        ``series``: ``(M, X, Y, Z)``; ``b_rows``: ``(M, 6)``; ``mask``, ``sigma``: ``(X, Y, Z)``;
        output: the series, and its level ``(X, Y, Z)``.
    """
    clean = torch.nan_to_num(series.movedim(0, -1), posinf=0.0, neginf=0.0)
    components, share, mean_share = patch_components(clean, mask, sigma)
    places, inside = neighbour_places(mask)
    signals, noise = components[mask], sigma[mask]
    weights = neighbour_weights(signals, noise, places, inside)
    mean = weighted_mean(signals, weights, places)
    correlation = noise_correlation(clean, mask, b_rows)
    # The mean of a patch keeps so much more of noise that neighbours share.
    more = math.prod((1 + rho) / (1 - rho) for rho in correlation)
    kept = (share + more * mean_share)[mask] * len(series) / _FREEDOM
    left = weighted_share(weights, correlation) * kept.clamp_max(1.0)
    reduced, level = series.movedim(0, -1).clone(), sigma.clone()
    reduced[mask], level[mask] = mean, noise * left.sqrt()
    return reduced.movedim(-1, 0), level


def patch_components(series: Tensor, mask: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    r"""Keep the principal components of local patches that noise alone does not explain.

    Of a patch of ``N`` voxels those above :math:`0.7 \sigma^2 (1 + \sqrt{M / N})^2`; without the
    factor it is the largest that white noise has. A voxel is the mean of the patches that hold it,
    weighted by ``1 / (1 + k)`` with their number of components. This is
    ``dipy.denoise.localpca.genpca`` with a known noise level, on every second patch along each
    axis, and with that factor.

    Args:
        series: Finite signals.
        mask: Only patches that hold some of it are restored.
        sigma: Noise level; that of a patch is the root mean square over its voxels in the mask.

    Shape:
        ``series``: ``(X, Y, Z, M)``; ``mask``, ``sigma``: ``(X, Y, Z)``; output: as ``series``, and
        the shares of the noise's variance that components and means of patches keep,
        ``(X, Y, Z)``.

    Source:
        J. V. Manjon et al., PLoS ONE 8 (2013), e73021; J. Veraart, E. Fieremans, D. S. Novikov,
        Magnetic Resonance in Medicine 76 (2016), 1582-1593.
    """
    shape, volumes = mask.shape, series.shape[-1]
    flat, inside = series.reshape(-1, volumes), mask.reshape(-1)
    first, offsets = _patch_places(shape, patch_widths(shape, volumes))
    voxels = len(offsets)
    total, kept, counted = torch.zeros_like(flat), *torch.zeros(2, len(flat), 1)
    largest = _THRESHOLD * (1 + (volumes / voxels) ** 0.5) ** 2
    variance = torch.where(mask, sigma, 0.0).square().reshape(-1)
    for corner in torch.split(first, max(1, _CHUNK // (voxels * volumes))):
        places = corner[:, None] + offsets
        held = inside[places].sum(1)
        places = places[held > 0]
        level = variance[places].sum(1, keepdim=True) / held[held > 0].unsqueeze(1)
        patch = flat[places]
        mean = patch.mean(1, keepdim=True)
        patch = patch - mean
        values, vectors = torch.linalg.eigh(patch.transpose(1, 2) @ patch / voxels)
        # Without noise every component stays, also where rounding makes it negative.
        rounding = _ROUNDING * values[:, -1:]
        vectors = vectors * (values > level * largest - rounding).unsqueeze(1)
        number = vectors.square().sum((1, 2))
        restored = patch @ vectors @ vectors.transpose(1, 2) + mean
        weight = (1 / (1 + number)).repeat_interleave(voxels).unsqueeze(1)
        share = (number / volumes).repeat_interleave(voxels)
        places = places.reshape(-1)
        total.index_add_(0, places, weight * restored.reshape(-1, volumes))
        kept.index_add_(0, places, weight * share.unsqueeze(1))
        counted.index_add_(0, places, weight)
    found = torch.where(counted > 0, total / counted, flat)
    share, mean_share = (
        torch.where(counted > 0, values, without).reshape(shape)
        for values, without in ((kept / counted, 1.0), (1 / voxels, 0.0))
    )
    return found.reshape(series.shape), share, mean_share


def patch_widths(shape: tuple[int, ...], volumes: int) -> list[int]:
    """Return the voxels of a patch along each axis: odd, and in all more than there are volumes.

    Five, DIPY's default, or more; fewer along an axis that is too short.
    """
    radius = 2
    while (2 * radius + 1) ** 3 <= volumes:
        radius += 1
    return [2 * min(radius, (length - 1) // 2) + 1 for length in shape]


def neighbour_weights(
    signals: Tensor,
    sigma: Tensor,
    places: Tensor,
    inside: Tensor,
    softness: float = _SOFTNESS,
    unlike: float = _UNLIKE,
) -> Tensor:
    r"""Return weights of neighbours, which add up to 1.

    .. math:: w_j \propto \exp(-\overline{(s_j - s)^2} / \min(h \sigma^2, (u \max s)^2))

    Args:
        signals: Signals of the voxels, with little noise.
        sigma: Noise level of the voxels before that.
        places: Number of each neighbour among the voxels.
        inside: Whether there is one.
        softness: ``h``: mean squared difference, in noise variances, at which a weight falls to
            1 / e.
        unlike: ``u``: share of the largest signal that a difference of that weight is at most.

    Shape:
        ``signals``: ``(n, M)``; ``sigma``: ``(n,)``; ``places``, ``inside``, output: ``(n, K)``.
    """
    scale = torch.minimum(softness * sigma.square(), (unlike * signals.amax(1)).square())
    scale = scale.clamp_min(torch.finfo(signals.dtype).tiny)
    weights = torch.stack(
        [
            torch.exp(-(signals[place] - signals).square().mean(1) / scale)
            for place in places.unbind(1)
        ],
        1,
    )
    weights = weights * inside
    return weights / weights.sum(1, keepdim=True)


def weighted_mean(signals: Tensor, weights: Tensor, places: Tensor) -> Tensor:
    """Return the weighted mean of each voxel's neighbours, ``(n, M)``."""
    mean = torch.zeros_like(signals)
    for place, weight in zip(places.unbind(1), torch.split(weights, 1, 1), strict=True):
        mean.addcmul_(weight, signals[place])
    return mean


def weighted_share(weights: Tensor, correlation: tuple[float, float, float]) -> Tensor:
    """Return the variance of a weighted mean of the 27 nearest, in units of one value's.

    Args:
        weights: ``(n, 27)``, in the order of x, y and z each from -1 to 1.
        correlation: Of neighbours along each axis; to the power of their distance, and multiplied
            over axes.

    Shape:
        Output: ``(n,)``.
    """
    places = torch.tensor(_OFFSETS)
    distance = (places[:, None] - places).abs()
    joint = torch.tensor(correlation).pow(distance).prod(-1)
    return ((weights @ joint) * weights).sum(1)


def _patch_places(shape: tuple[int, ...], widths: list[int]) -> tuple[Tensor, Tensor]:
    """Return the first voxel of each patch, and its other voxels relative to it."""
    steps = torch.tensor([shape[1] * shape[2], shape[2], 1])
    # The last patch ends with the volume.
    starts = [
        torch.tensor(sorted({*range(0, length - width, _STRIDE), length - width}))
        for length, width in zip(shape, widths, strict=True)
    ]
    within = [torch.arange(width) for width in widths]
    first, offsets = (torch.cartesian_prod(*axes) @ steps for axes in (starts, within))
    return first, offsets


def neighbour_places(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return the numbers of the 27 nearest of each voxel of a mask, and which of them there are."""
    number = torch.full(mask.shape, -1)
    number[mask] = torch.arange(int(mask.sum()))
    padded = torch.nn.functional.pad(number, (1,) * 6, value=-1)
    places = torch.stack(
        [
            padded[tuple(slice(1 + o, 1 + o + n) for o, n in zip(offset, mask.shape, strict=True))][
                mask
            ]
            for offset in _OFFSETS
        ],
        1,
    )
    return places.clamp_min(0), places >= 0


def noise_correlation(series: Tensor, mask: Tensor, b_rows: Tensor) -> tuple[float, float, float]:
    """Return the correlation of the noise of neighbours along each axis, from residuals of fits."""
    residual = torch.zeros_like(series)
    signals = series[mask]
    unit = signals.mean(1, keepdim=True).clamp_min(torch.finfo(signals.dtype).tiny)
    parts = []
    for part in torch.split(signals / unit, _FITS):
        tensors, scale = fit_log_linear(part, b_rows, scale_known=False)
        parts.append(part - scale.unsqueeze(1) * tensor_signal(tensors, b_rows))
    residual[mask] = torch.cat(parts) * unit
    # Few voxels where a fit fails must not decide.
    residual = residual.nan_to_num(0.0, 0.0, 0.0)
    spread = 5 * residual[mask].abs().median()
    residual = residual.clamp(-spread, spread)
    variance = residual[mask].square().mean().clamp_min(torch.finfo(residual.dtype).tiny)
    found = []
    for axis, length in enumerate(mask.shape):
        first, second = (residual.narrow(axis, start, length - 1) for start in (0, 1))
        both = mask.narrow(axis, 0, length - 1) & mask.narrow(axis, 1, length - 1)
        product = (first[both] * second[both]).mean() if both.any() else torch.tensor(0.0)
        found.append(float((product / variance).clamp(0.0, 0.9)))
    return found[0], found[1], found[2]
