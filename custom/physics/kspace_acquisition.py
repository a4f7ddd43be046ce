r"""Acquisition of a magnitude image: k-space sampling, receiver noise, Fourier transform.

**Grid.** All matrices cover the same field-of-view box: voxel ``n`` of ``N`` has its centre at
``(n + 1/2) FOV / N``. A spectrum taken over one matrix therefore needs a linear phase before it
is transformed back over another one; without it the images would lie half a voxel apart.

**Noise.** A receiver adds complex white noise of standard deviation ``s`` (a channel) to every
sample of k-space. With spectra normalised so that their centre is the mean of the image, an image
of ``N_x N_y`` voxels from ``A`` averages has noise of

.. math:: \sigma = s \sqrt{N_x N_y / A}

in each channel. The field of view being fixed, a voxel's volume goes as ``V ~ 1 / (N_x N_y)``, so
``SNR ~ 1 / sigma ~ V sqrt(A N_x N_y)``: volume times the root of the number of samples, averages
times phase encodings times read-out points. ``s`` belongs to the receiver bandwidth, taken to be
the same for both scans: the paper does not state it. A 300 x 300 scan with 5 averages then has
``sqrt(5) / 2 = 1.118`` times the SNR a voxel of a 150 x 150 scan with 1 average. Were the
duration of the read-out the same instead, the ratio would be ``sqrt(10) / 4 = 0.791``.

Source:
    docs/methods/micro_mri_denoise.md, "Acquisition"; the noise of Fourier imaging as in any
    textbook of MRI.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

__all__ = [
    "DEFAULT_SCAN",
    "FAST_SCAN",
    "Acquisition",
    "acquire",
    "reconstruct",
    "sample_noise_std",
    "simulate_low_resolution",
    "snr_ratio",
]

Complex = NDArray[np.complexfloating[Any, Any]]


@dataclass(frozen=True)
class Acquisition:
    """Settings of a scan that determine its resolution and noise.

    Args:
        matrix: Voxels along the two in-plane axes.
        averages: Times each sample is taken.

    Raises:
        ValueError: If a number is below 1.
    """

    matrix: tuple[int, int]
    averages: int = 1

    def __post_init__(self) -> None:
        if min(self.matrix) < 1:
            raise ValueError(f"matrix must be positive, got {self.matrix}")
        if self.averages < 1:
            raise ValueError(f"averages must be at least 1, got {self.averages}")

    @property
    def noise_gain(self) -> float:
        """Noise of a channel of the image, over that of one sample of k-space."""
        return math.sqrt(self.matrix[0] * self.matrix[1] / self.averages)


# docs/methods/micro_mri_denoise.md, "Acquisition": the 1-minute and the 12-minute scan.
FAST_SCAN = Acquisition((150, 150), 1)
DEFAULT_SCAN = Acquisition((300, 300), 5)


def snr_ratio(first: Acquisition, second: Acquisition) -> float:
    """Return the SNR per voxel of ``first`` over that of ``second``, same field of view.

    >>> round(snr_ratio(DEFAULT_SCAN, FAST_SCAN), 3)
    1.118
    """
    return second.noise_gain / first.noise_gain


def sample_noise_std(signal: float, snr: float, reference: Acquisition) -> float:
    """Return the noise of one k-space sample for a given SNR of the image.

    Args:
        signal: Magnitude of the tissue in which the SNR is stated.
        snr: ``signal`` over the noise of one channel.
        reference: The scan in which the SNR is stated.

    Raises:
        ValueError: If ``signal`` or ``snr`` is not positive.
    """
    if signal <= 0 or snr <= 0:
        raise ValueError(f"signal and snr must be positive, got {signal} and {snr}")
    return signal / snr / reference.noise_gain


def reconstruct(
    image: NDArray[Any],
    matrix: tuple[int, int],
    noise_std: float = 0.0,
    rng: np.random.Generator | None = None,
) -> Complex:
    """Sample the centre of k-space of an image over another matrix and transform it back.

    Args:
        image: Real or complex image on a grid at least as fine as ``matrix``.
        matrix: Voxels of the result along the first two axes.
        noise_std: Standard deviation of the noise of one k-space sample, a channel, where the
            centre of k-space is the mean of the image.
        rng: Source of the noise; needed when ``noise_std`` is not 0.

    Shape:
        ``image``: ``(X, Y, ...)``; the result: ``(*matrix, ...)``, complex.

    Raises:
        ValueError: If ``matrix`` is finer than the image, ``noise_std`` is negative, or ``rng``
            is missing.
    """
    if image.ndim < 2 or any(n > m for n, m in zip(matrix, image.shape, strict=False)):
        raise ValueError(f"matrix must be at most the image's {image.shape[:2]}, got {matrix}")
    if noise_std < 0 or (noise_std > 0 and rng is None):
        raise ValueError(f"noise_std must be 0, or positive with an rng, got {noise_std}")
    spectrum = fft.fft2(image, axes=(0, 1), norm="forward")
    for axis, (size, fine) in enumerate(zip(matrix, image.shape, strict=False)):
        spectrum = _crop_axis(spectrum, axis, size, fine)
    if rng is not None and noise_std > 0:
        noise = rng.standard_normal((2, *spectrum.shape), dtype=np.float32)
        spectrum += np.float32(noise_std) * (noise[0] + np.complex64(1j) * noise[1])
    result: Complex = fft.ifft2(spectrum, axes=(0, 1), norm="forward")
    return result


def _crop_axis(spectrum: Complex, axis: int, size: int, fine: int) -> Complex:
    """Keep the ``size`` lowest of ``fine`` frequencies, with the phase of the coarser grid."""
    # Of an even size only minus the Nyquist frequency: samples run from -N/2 to N/2 - 1.
    frequency = fft.fftfreq(size, 1 / size)
    phase = np.exp(1j * np.pi * frequency * (1 / size - 1 / fine)).astype(spectrum.dtype)
    shape = [1] * spectrum.ndim
    shape[axis] = size
    kept = np.take(spectrum, frequency.astype(int) % fine, axis=axis)
    return np.asarray(kept * phase.reshape(shape))


def acquire(
    image: NDArray[Any], acquisition: Acquisition, noise_std: float, rng: np.random.Generator
) -> NDArray[np.floating[Any]]:
    """Return the magnitude image of a scan; its noise is Rician.

    Args:
        image: The object, real or complex (with its phase), ``(X, Y, ...)``, on a finer grid.
        acquisition: The scan.
        noise_std: Standard deviation of the noise of one k-space sample in one average, a
            channel (:func:`sample_noise_std`).
        rng: Source of the noise.

    Returns:
        Magnitude, ``(*acquisition.matrix, ...)``, with noise of
        ``noise_std * acquisition.noise_gain`` a channel.
    """
    averaged = noise_std / math.sqrt(acquisition.averages)
    return np.abs(reconstruct(image, acquisition.matrix, averaged, rng))


def simulate_low_resolution(
    high: NDArray[Any],
    noise_std: float,
    rng: np.random.Generator,
    high_noise_std: float = 0.0,
) -> NDArray[np.float32]:
    r"""Return the fast partner of a real magnitude stack.

    The centre of the stack's k-space is kept, noise added, and the magnitude taken. The stack's own
    noise is halved by the crop, so only the rest is added:
    :math:`\sqrt{\sigma^2 - \sigma_\mathrm{high}^2 / 4}`. A magnitude stack has lost its phase; the
    partner is that of an object without phase.

    Args:
        high: Magnitude stack, ``(2X, 2Y, S)``, slices last.
        noise_std: Noise of the partner's image, a channel, in the units of ``high``. By physics
            ``high_noise_std * snr_ratio(DEFAULT_SCAN, FAST_SCAN)``.
        rng: Source of the noise.
        high_noise_std: Noise of ``high`` itself; 0 if it is taken as noise-free.

    Returns:
        Magnitude stack, ``(X, Y, S)``.

    Raises:
        ValueError: If the in-plane size of ``high`` is odd, or ``noise_std`` is below the stack's
            own noise after the crop.
    """
    if high.ndim != 3 or high.shape[0] % 2 or high.shape[1] % 2:
        raise ValueError(f"high must be (2X, 2Y, S), got {high.shape}")
    if high_noise_std < 0 or noise_std < high_noise_std / 2:
        raise ValueError(
            f"noise_std must be at least high_noise_std / 2 = {high_noise_std / 2}, got {noise_std}"
        )
    matrix = (high.shape[0] // 2, high.shape[1] // 2)
    added = math.sqrt(noise_std**2 - high_noise_std**2 / 4)
    sample_std = added / Acquisition(matrix).noise_gain
    # float32: SciPy then transforms in single precision, in half the memory.
    low = reconstruct(np.asarray(high, dtype=np.float32), matrix, sample_std, rng)
    return np.abs(low).astype(np.float32)
