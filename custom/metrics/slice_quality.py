"""Measures of a single slice without a reference: noise, ghosts and motion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import apply_hysteresis_threshold, threshold_otsu

from custom.physics.intensity_statistics import clip_outliers

__all__ = [
    "SliceQuality",
    "Tissue",
    "entropy_focus",
    "find_tissue",
    "ghosting_ratio",
    "gradient_focus",
    "local_outlier_scores",
    "measure_stack",
    "neighbour_correlation",
    "noise_deviation",
    "signal_level",
]

# Median of a Rayleigh distribution of unit scale.
_RAYLEIGH_MEDIAN = float(np.sqrt(2 * np.log(2)))
# Fewer voxels than this do not determine the noise.
_FEWEST = 50
_EDGE_VOXELS = 2

Image = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Tissue:
    """Masks of tissue, body and air of a slice.

    Args:
        inside: Bright tissue without its edge, ``(X, Y)``.
        body: The body with its holes, ``(X, Y)``.
        air: Voxels well outside the body that were measured, that is, are not exactly zero.
    """

    inside: Mask
    body: Mask
    air: Mask


@dataclass(frozen=True)
class SliceQuality:
    """The measures of one slice; NaN where a slice does not allow one.

    Args:
        snr: Signal-to-noise ratio, see :func:`signal_level` and :func:`noise_deviation`.
        ghosting: See :func:`ghosting_ratio`.
        focus: See :func:`gradient_focus`; lower when blurred.
        entropy: See :func:`entropy_focus`; higher when blurred or smeared.
        correlation: See :func:`neighbour_correlation`.
    """

    snr: float
    ghosting: float
    focus: float
    entropy: float
    correlation: float


def find_tissue(image: Image) -> Tissue:
    """Separate tissue from air by two of Otsu's thresholds of the smoothed slice.

    The body exceeds the threshold of the square root, which includes dark tissue beside bright fat,
    and is connected to tissue above the plain one, unlike a ghost beside the body.

    Args:
        image: Magnitudes, ``(X, Y)``.
    """
    smooth = ndimage.gaussian_filter(np.abs(image).astype(float), 1.0)
    if smooth.min() == smooth.max():
        nothing = np.zeros(image.shape, bool)
        return Tissue(nothing, nothing, nothing)
    high = float(threshold_otsu(smooth))  # type: ignore[no-untyped-call]
    low = min(high, float(threshold_otsu(np.sqrt(smooth))) ** 2)  # type: ignore[no-untyped-call]
    whole = apply_hysteresis_threshold(smooth, low, high)  # type: ignore[no-untyped-call]
    bright = ndimage.binary_opening(whole)
    inside = ndimage.binary_erosion(bright, iterations=_EDGE_VOXELS)
    body = ndimage.binary_fill_holes(bright)
    near = ndimage.binary_dilation(body, iterations=2 * _EDGE_VOXELS)
    # Thin tissue is all edge: measured with it rather than not at all.
    return Tissue(inside if inside.any() else bright, body, ~near & (image != 0))


def noise_deviation(air: Image) -> float:
    r"""Return the standard deviation of the complex noise, from magnitudes in air.

    .. math:: \sigma = \operatorname{median}(m) / \sqrt{2 \ln 2}

    Magnitudes of pure noise follow a Rayleigh distribution. The median, unlike the mean square, is
    robust against a ghost or dark tissue in part of the air.

    Args:
        air: Magnitudes, any shape.

    Returns:
        The deviation in the units of ``air``; NaN for fewer than 50 voxels.
    """
    return float(np.median(air)) / _RAYLEIGH_MEDIAN if air.size >= _FEWEST else float("nan")


def signal_level(tissue: Image, deviation: float) -> float:
    r"""Return the root mean square signal, corrected for the noise of the magnitude.

    .. math:: A = \sqrt{\operatorname{mean}(m^2) - 2 \sigma^2}

    Exact for Rician magnitudes at any signal-to-noise ratio.

    Args:
        tissue: Magnitudes, any shape.
        deviation: ``sigma``; a NaN counts as zero.
    """
    if tissue.size == 0:
        return float("nan")
    noise = 0.0 if np.isnan(deviation) else 2 * deviation**2
    return float(np.sqrt(max(float(np.mean(np.square(tissue, dtype=float))) - noise, 0.0)))


def ghosting_ratio(image: Image, tissue: Tissue, phase_axis: int | None = None) -> float:
    r"""Return the strength of ghosts, relative to the signal.

    .. math:: g = \sqrt{\overline{m^2}_\mathrm{phase} - \overline{m^2}_\mathrm{read}} / A

    Ghosts repeat the body along the phase-encoding axis. The air beside the body along that axis
    is compared with the air beside it along the other, which holds the same noise but no ghost;
    where the body leaves no such air, with the mean square of noise, ``2 sigma^2``.

    Args:
        image: Magnitudes, ``(X, Y)``.
        tissue: Masks of tissue and air.
        phase_axis: Phase-encoding axis, 0 or 1; ``None`` takes whichever axis has more.

    Returns:
        Root mean square of the ghost in the air along its axis over ``A`` of
        :func:`signal_level`; 0 if there is none, NaN if there is too little air.
    """
    deviation = noise_deviation(image[tissue.air])
    signal = signal_level(image[tissue.inside], deviation)
    beside = [tissue.body.any(axis=axis, keepdims=True) & tissue.air for axis in (0, 1)]
    # Air beside the body along both axes cannot tell a ghost's axis.
    bands = [image[beside[axis] & ~beside[1 - axis]] for axis in (0, 1)]
    measurable = [axis for axis in (0, 1) if bands[axis].size >= _FEWEST]
    power = [2 * deviation**2] * 2
    for axis in measurable:
        power[axis] = float(np.mean(np.square(bands[axis], dtype=float)))
    asked = measurable if phase_axis is None else [a for a in measurable if a == phase_axis]
    if not asked or not signal > 0:
        return float("nan")
    excess = max(power[axis] - power[1 - axis] for axis in asked)
    return float(np.sqrt(max(excess, 0.0)) / signal)


def gradient_focus(image: Image, region: Mask, deviation: float = 0.0) -> float:
    r"""Return the normalised gradient energy: high in a sharp slice, low in a blurred one.

    .. math:: F = \frac{\overline{|\nabla m|^2} - \sigma^2}{\overline{m^2} - 2 \sigma^2}

    with central differences, to each of which white noise adds ``sigma^2 / 2``.

    Args:
        image: Magnitudes, ``(X, Y)``.
        region: Mask of the voxels to measure.
        deviation: ``sigma`` of the noise; a NaN counts as zero.
    """
    # np.gradient needs two voxels along each axis.
    if not region.any() or min(image.shape) < 2:
        return float("nan")
    noise = 0.0 if np.isnan(deviation) else deviation**2
    gradients = np.gradient(image.astype(float))
    energy = float(np.mean(sum(gradient[region] ** 2 for gradient in gradients))) - noise
    power = signal_level(image[region], deviation) ** 2
    return max(energy, 0.0) / power if power > 0 else float("nan")


def entropy_focus(image: Image) -> float:
    r"""Return the entropy focus criterion: 0 for one bright voxel, 1 for an even slice.

    .. math:: E = -\frac{1}{\sqrt N \ln \sqrt N} \sum_i \frac{m_i}{M} \ln \frac{m_i}{M}, \qquad
        M = \sqrt{\sum_i m_i^2}

    Blur and smearing by motion spread the energy and raise it.

    Args:
        image: Magnitudes, any shape, of ``N`` voxels.

    Source:
        Atkinson et al., IEEE Transactions on Medical Imaging 16(6), 1997; normalised by the
        largest value it can take.
    """
    total = float(np.sqrt(np.sum(np.square(image, dtype=float))))
    if total == 0 or image.size < 2:
        return float("nan")
    # Without zeros, whose 0 ln 0 counts as 0.
    share = np.abs(image[image != 0]).astype(float) / total
    root = np.sqrt(image.size)
    return float(-(share * np.log(share)).sum() / (root * np.log(root)))


def neighbour_correlation(stack: Image, index: int) -> float:
    """Return the Pearson correlation of a slice with the one before or after it, the larger.

    The larger, so that a bad slice does not make its neighbours look bad.

    Args:
        stack: Magnitudes, ``(X, Y, S)``.
        index: The slice.

    Returns:
        From -1 to 1; NaN for a single or a constant slice.
    """
    flat = [
        stack[..., other].astype(float).ravel()
        for other in (index - 1, index + 1)
        if 0 <= other < stack.shape[-1] and np.ptp(stack[..., other]) > 0
    ]
    here = stack[..., index].astype(float).ravel()
    if not flat or np.ptp(here) == 0:
        return float("nan")
    return max(float(np.corrcoef(here, there)[0, 1]) for there in flat)


def measure_stack(stack: Image, phase_axis: int | None = None) -> list[SliceQuality]:
    """Measure every slice of a stack, its outliers cut.

    Args:
        stack: Magnitudes, ``(X, Y, S)``.
        phase_axis: See :func:`ghosting_ratio`.
    """
    # One hot voxel would be the only tissue of its slice.
    stack = clip_outliers(stack)
    measured: list[SliceQuality] = []
    for index in range(stack.shape[-1]):
        image = stack[..., index]
        tissue = find_tissue(image)
        deviation = noise_deviation(image[tissue.air])
        signal = signal_level(image[tissue.inside], deviation)
        measured.append(
            SliceQuality(
                snr=signal / deviation if deviation > 0 else float("nan"),
                ghosting=ghosting_ratio(image, tissue, phase_axis),
                focus=gradient_focus(image, tissue.body, deviation),
                entropy=entropy_focus(image),
                correlation=neighbour_correlation(stack, index),
            )
        )
    return measured


def local_outlier_scores(values: NDArray[Any], least_share: float = 0.02) -> NDArray[np.float64]:
    """Return each value's distance from its neighbours; anatomy changes slowly along slices.

    Args:
        values: Values of one measure along a stack, ``(S,)``; may hold NaN.
        least_share: Smallest standard deviation, as a share of the stack's median.

    Returns:
        Difference from the median of two neighbours on each side, in robust standard deviations of
        all these differences; 0 where there is no neighbour or value.
    """
    values = np.asarray(values, dtype=float)
    differences = np.zeros_like(values)
    for index, value in enumerate(values):
        near = np.r_[values[max(index - 2, 0) : index], values[index + 1 :][:2]]
        near = near[np.isfinite(near)]
        if near.size and np.isfinite(value):
            differences[index] = value - np.median(near)
    # 1.4826 times the median deviation is a normal distribution's standard deviation.
    spread = 1.4826 * float(np.median(np.abs(differences - np.median(differences))))
    finite = values[np.isfinite(values)]
    # Where a stack hardly changes at all, small steps would be outliers.
    least = least_share * float(np.abs(np.median(finite))) if finite.size else 0.0
    scale = max(spread, least)
    return differences / scale if scale > 0 else np.zeros_like(values)
