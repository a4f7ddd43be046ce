r"""Bring an acquired volume to the finer grid, its operator undone as far as the noise allows.

On the cosines of a volume that is mirrored at its faces an operator of
:mod:`custom.physics.acquisition` is a multiplication by its transfer function :math:`H`. Wiener's
inverse multiplies by

.. math:: \min\left(\frac{H S}{H^2 S + \sigma^2}, \; \frac{1}{\max(H, 1 / g)}\right)

with the deviation :math:`\sigma` of the noise, the power :math:`S` of the volume without it, over
shells of frequency, and the largest gain :math:`g`. Beyond the measured band the spectrum is filled
with zeros. Without noise and for plain k-space truncation this is zero filling.

Source:
    Wiener's filter: Gonzalez, Woods, Digital Image Processing (2018), section 5.8.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from custom.physics.acquisition import axis_operators, axis_scales, transfer

__all__ = ["deconvolved"]


def deconvolved(
    low: NDArray[Any],
    operator: str,
    scale: int | Sequence[int] = 2,
    sigma: float = 0.0,
    share: float = 0.5,
    most_gain: float = 10.0,
) -> NDArray[Any]:
    """Return a volume on the finer grid (see the module).

    Args:
        low: Volume on the acquired grid, floating point.
        operator: One of :data:`custom.physics.acquisition.OPERATORS`.
        scale: How many times finer the result is: one number, or one an axis.
        sigma: Deviation of the noise, in the unit of the volume.
        share: Share of Hamming's window in ``partial``.
        most_gain: Largest gain of a frequency; infinity: the plain inverse.

    Shape:
        ``low``: ``(D, H, W)``; output: each axis so many times longer, in the same precision.

    Raises:
        ValueError: If the operator is unknown, or a scale no whole number of at least 1.
    """
    scales = axis_scales(scale)
    names = axis_operators(operator, scales)
    along = [
        transfer(name, size, factor, share) if factor > 1 else np.ones(size)
        for name, size, factor in zip(names, low.shape, scales, strict=True)
    ]
    damping = along[0][:, None, None] * along[1][:, None] * along[2]
    factors = 1 / np.maximum(damping, 1 / most_gain)
    spectrum = fft.dctn(low, norm="ortho")
    if sigma > 0:
        signal = np.maximum(_shell_power(spectrum, scales) - sigma**2, 0) / damping**2
        factors = np.minimum(damping * signal / (damping**2 * signal + sigma**2), factors)
    spectrum *= factors * math.sqrt(math.prod(scales))
    # In the precision of the volume and overwritten below: the largest array of all.
    filled = np.zeros([f * n for f, n in zip(scales, low.shape, strict=True)], low.dtype)
    filled[tuple(slice(size) for size in low.shape)] = spectrum
    return np.asarray(fft.idctn(filled, norm="ortho", overwrite_x=True))


def _shell_power(spectrum: NDArray[Any], scales: Sequence[int]) -> NDArray[np.float64]:
    """Return the mean power of each coefficient's shell of frequency."""
    finest = min(scales)
    places = [
        (finest / factor * np.arange(size) / size) ** 2
        for size, factor in zip(spectrum.shape, scales, strict=True)
    ]
    radius = np.sqrt(places[0][:, None, None] + places[1][:, None] + places[2])
    shell = (min(spectrum.shape) / 2 * radius).astype(int)
    means = ndimage.mean(spectrum.astype(np.float64) ** 2, shell, np.arange(shell.max() + 1))
    return np.asarray(np.nan_to_num(means)[shell])
