"""PSNR, SSIM, NRMSE, error in the centre of k-space and slice-wise LPIPS of whole volumes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

__all__ = [
    "SSIM_WINDOW",
    "SliceDistance",
    "central_spectrum",
    "central_spectrum_error",
    "foreground",
    "root_mean_square_error",
    "signal_to_noise_ratio",
    "similarity_map",
    "slice_distance",
    "spectrum_band",
    "value_range",
]

SSIM_WINDOW = 11  # voxels; a Gaussian of deviation 1.5 reaches 3.5 of them
SSIM_SIGMA = 1.5  # voxels
_SPECTRUM = 50  # samples along an axis, METHODS.md, study 3
_SLICES = 8  # compared at once by LPIPS

Volume = NDArray[np.float64]


class SliceDistance(Protocol):
    """A distance of slices ``(B, 1, H, W)`` from a reference, given the data range ``(B,)``."""

    def __call__(self, predicted: Tensor, reference: Tensor, data_range: Tensor) -> Tensor:
        """Return one number a slice, ``(B,)``."""
        ...


def value_range(reference: ArrayLike) -> float:
    """Return ``max - min`` of a volume, the data range of PSNR and SSIM."""
    values = np.asarray(reference)
    return float(values.max() - values.min())


def foreground(reference: ArrayLike) -> NDArray[np.bool_]:
    """Return which voxels of a volume are brighter than Otsu's threshold (scikit-image).

    Shape:
        ``(D, H, W)`` in and out.

    Raises:
        ValueError: If the volume is constant.
    """
    from skimage.filters import threshold_otsu

    values = np.asarray(reference, dtype=np.float64)
    if value_range(values) == 0:
        raise ValueError("reference must not be constant: it has no foreground")
    return np.asarray(values > threshold_otsu(values))  # type: ignore[no-untyped-call]


def signal_to_noise_ratio(
    predicted: ArrayLike,
    reference: ArrayLike,
    data_range: float,
    mask: NDArray[np.bool_] | None = None,
) -> float:
    r"""Return the peak signal-to-noise ratio in decibel, :math:`10 \log_{10}(R^2 / \mathrm{MSE})`.

    Args:
        predicted: Volume to judge.
        reference: Volume to compare with.
        data_range: ``R``, in the units of the volumes.
        mask: The voxels that count; by default all.

    Shape:
        All ``(D, H, W)``. Equal volumes give infinity.

    Raises:
        ValueError: If shapes differ, ``data_range`` is not positive, or ``mask`` is empty.
    """
    predicted, reference = _pair(predicted, reference)
    squares = np.square(predicted - reference)
    error = _mean(squares, mask)
    peak = _positive(data_range) ** 2
    return float(10 * np.log10(peak / error)) if error > 0 else float("inf")


def similarity_map(predicted: ArrayLike, reference: ArrayLike, data_range: float) -> Volume:
    """Return the structural similarity at every voxel whose window lies wholly inside.

    By scikit-image: a 3D Gaussian window of deviation 1.5 voxels, 11 voxels wide, K1 = 0.01,
    K2 = 0.03, moments of the population. The mean of the map is the SSIM of the volume; its mean
    over a mask, cropped by 5 voxels a side, is that of a region.

    Args:
        predicted: Volume to judge.
        reference: Volume to compare with.
        data_range: In the units of the volumes.

    Shape:
        ``(D, H, W)``, at least 11 voxels each; output ``(D - 10, H - 10, W - 10)``.

    Raises:
        ValueError: If shapes differ, or a size or ``data_range`` is too small.

    Source:
        Wang et al., "Image quality assessment: from error visibility to structural similarity",
        2004; ``skimage.metrics.structural_similarity``.
    """
    from skimage.metrics import structural_similarity

    predicted, reference = _pair(predicted, reference)
    if min(reference.shape) < SSIM_WINDOW:
        raise ValueError(
            f"SSIM needs volumes of at least {SSIM_WINDOW} voxels along each axis, "
            f"got {reference.shape}"
        )
    _, values = structural_similarity(  # type: ignore[no-untyped-call]
        predicted,
        reference,
        data_range=_positive(data_range),
        gaussian_weights=True,
        sigma=SSIM_SIGMA,
        use_sample_covariance=False,
        full=True,
    )
    margin = SSIM_WINDOW // 2
    inside = (slice(margin, -margin),) * 3
    return np.asarray(values[inside], dtype=np.float64)


def root_mean_square_error(predicted: ArrayLike, reference: ArrayLike) -> float:
    r"""Return the normalised root mean square error, :math:`\|x - y\|_2 / \|y\|_2`.

    Args:
        predicted: ``x``, the volume to judge.
        reference: ``y``.

    Raises:
        ValueError: If shapes differ, or the reference is 0 everywhere.
    """
    predicted, reference = _pair(predicted, reference)
    return _relative(predicted - reference, reference)


def spectrum_band(shape: Sequence[int], scale: int = 2, most: int = _SPECTRUM) -> tuple[int, ...]:
    """Return how many central samples of k-space are compared along each axis.

    ``most``, but never beyond what a grid ``scale`` times coarser holds, so that it is always a
    question about frequencies that the low-resolution image has.

    Args:
        shape: Of the high-resolution volume.
        scale: Ratio of the grids, at least 1.
        most: Samples along an axis of a large volume.
    """
    return tuple(max(1, min(most, length // scale)) for length in shape)


def central_spectrum(volume: ArrayLike, band: Sequence[int]) -> NDArray[np.complex128]:
    """Return the centre of a volume's orthonormal DFT, frequency 0 at index ``band // 2``.

    Args:
        volume: ``(D, H, W)``.
        band: Samples to keep along each axis.

    Raises:
        ValueError: If more samples are asked for than the volume has.
    """
    spectrum = np.asarray(volume, dtype=np.float64)
    if any(keep > length for keep, length in zip(band, spectrum.shape, strict=True)):
        raise ValueError(f"band must be within {spectrum.shape}, got {tuple(band)}")
    kept = spectrum.astype(np.complex128)
    for axis, keep in enumerate(band):  # cropped axis by axis: a third of the work
        kept = np.fft.fft(kept, axis=axis, norm="ortho")
        frequencies = np.arange(keep) - keep // 2
        kept = np.take(kept, frequencies, axis=axis, mode="wrap")
    return kept


def central_spectrum_error(
    predicted: ArrayLike, reference: ArrayLike, band: Sequence[int]
) -> float:
    r"""Return :math:`\|F x - F y\|_2 / \|F y\|_2` over the centre of k-space.

    Args:
        predicted: ``x``, the volume to judge.
        reference: ``y``.
        band: Samples along each axis, see :func:`spectrum_band`.

    Raises:
        ValueError: If shapes or band do not fit, or the reference has nothing there.
    """
    predicted, reference = _pair(predicted, reference)
    return _relative(
        central_spectrum(predicted - reference, band), central_spectrum(reference, band)
    )


def slice_distance(
    predicted: ArrayLike, reference: ArrayLike, data_range: float, distance: SliceDistance
) -> float:
    """Return the mean of a slice-wise distance such as LPIPS, over the slices of the last axis.

    Slices in which the reference is constant do not count: there is no texture to compare.

    Args:
        predicted: ``(D, H, W)``, the volume to judge.
        reference: ``(D, H, W)``.
        data_range: In the units of the volumes.
        distance: For example :class:`~custom.metrics.perceptual.PerceptualDistance`.

    Raises:
        ValueError: If shapes differ, ``data_range`` is not positive, or every slice is constant.
    """
    predicted, reference = _pair(predicted, reference)
    width = _positive(data_range)
    used = np.flatnonzero(reference.max((0, 1)) > reference.min((0, 1)))
    if not len(used):
        raise ValueError("reference must not be constant in every slice")
    found = [
        distance(
            _slices(predicted, part), _slices(reference, part), torch.full((len(part),), width)
        )
        for part in np.split(used, range(_SLICES, len(used), _SLICES))
    ]
    return float(torch.cat([values.double().cpu() for values in found]).mean())


def _slices(volume: Volume, chosen: NDArray[Any]) -> Tensor:
    """Return slices of the last axis as a batch ``(B, 1, H, W)``, single precision."""
    return torch.from_numpy(np.moveaxis(volume[..., chosen], -1, 0).copy()).float().unsqueeze(1)


def _pair(predicted: ArrayLike, reference: ArrayLike) -> tuple[Volume, Volume]:
    """Check a pair of volumes and return it in double precision."""
    first, second = (np.asarray(values, dtype=np.float64) for values in (predicted, reference))
    if first.shape != second.shape or first.ndim != 3:
        raise ValueError(
            f"predicted and reference must be volumes of one shape, "
            f"got {first.shape} and {second.shape}"
        )
    return first, second


def _positive(data_range: float) -> float:
    """Return the data range, if it is one."""
    if not data_range > 0:
        raise ValueError(f"data_range must be positive, got {data_range}")
    return float(data_range)


def _mean(values: Volume, mask: NDArray[np.bool_] | None) -> float:
    """Return the mean over a mask."""
    if mask is None:
        return float(values.mean())
    if mask.shape != values.shape or not mask.any():
        raise ValueError(f"mask must be {values.shape} and not empty, got {mask.shape}")
    return float(values[mask].mean())


def _relative(difference: NDArray[Any], reference: NDArray[Any]) -> float:
    """Return one norm over the other."""
    size = float(np.linalg.norm(reference.ravel()))
    if size == 0:
        raise ValueError("reference must not be 0 everywhere")
    return float(np.linalg.norm(difference.ravel())) / size
