"""Error of a volume in the centre of its k-space."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["central_spectrum", "central_spectrum_error", "spectrum_band"]


def spectrum_band(shape: Sequence[int], scale: int = 2, most: int = 50) -> tuple[int, ...]:
    """Return the number of central k-space samples that are compared along each axis.

    ``most``, but never more than a grid ``scale`` times coarser has, so that only frequencies of
    the low-resolution image are compared.

    Args:
        shape: Shape of the high-resolution volume.
        scale: Ratio of the grids, at least 1.
        most: Samples along an axis of a large volume (the thesis has 50).
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
        # wrap: negative frequencies stand at the end of a transform.
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

    Shape:
        Volumes: ``(D, H, W)``.

    Raises:
        ValueError: If shapes or band do not fit, or the reference is 0 there.
    """
    first, second = (np.asarray(values, dtype=np.float64) for values in (predicted, reference))
    if first.shape != second.shape:
        raise ValueError(
            f"predicted and reference must have the same shape, got {first.shape} and "
            f"{second.shape}"
        )
    truth = central_spectrum(second, band)
    size = float(np.linalg.norm(truth))
    if size == 0:
        raise ValueError("reference must not be 0 everywhere")
    # The transform is linear: one, of the difference, instead of two.
    return float(np.linalg.norm(central_spectrum(first - second, band))) / size
