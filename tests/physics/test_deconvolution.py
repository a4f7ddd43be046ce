"""Wiener's inverse against zero filling, against waves by hand, and against its own limit."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import fft

from custom.physics.acquisition import TRAINING_OPERATORS, acquire, transfer
from custom.physics.deconvolution import deconvolved


def acquired(fine: np.ndarray, operator: str, scale: int | tuple[int, ...] = 2) -> np.ndarray:
    """A coarse volume of a fine one."""
    return acquire(torch.from_numpy(fine)[None, None], operator, scale)[0, 0].numpy()


def band_limited(shape: tuple[int, int, int], scales: tuple[int, ...]) -> np.ndarray:
    """A fine volume without anything beyond the band of the coarse grid."""
    spectrum = np.zeros([n * s for n, s in zip(shape, scales, strict=True)])
    spectrum[tuple(slice(n) for n in shape)] = np.random.default_rng(0).normal(size=shape)
    return fft.idctn(spectrum, norm="ortho")


@pytest.mark.parametrize("operator", [name for name in TRAINING_OPERATORS if name != "triangle"])
@pytest.mark.parametrize("scales", [(2, 2, 2), (1, 1, 4)])
def test_what_lies_in_the_band_comes_back_whole(operator: str, scales: tuple[int, ...]) -> None:
    fine = band_limited((6, 7, 8), scales)
    found = deconvolved(acquired(fine, operator, scales), operator, scales, most_gain=math.inf)
    np.testing.assert_allclose(found, fine, atol=1e-9)


def test_nothing_is_amplified_more_than_asked_for() -> None:
    low = acquired(band_limited((8, 8, 8), (2, 2, 2)), "hamming")
    found = deconvolved(low, "hamming", most_gain=2.0)
    gain = fft.dctn(found, norm="ortho")[:8, :8, :8] / fft.dctn(low, norm="ortho") / 2**1.5
    along = transfer("hamming", 8, 2)
    inverse = 1 / (along[:, None, None] * along[:, None] * along)
    np.testing.assert_allclose(gain, np.minimum(inverse, 2.0), rtol=1e-9)


@pytest.mark.parametrize("operator", ["kspace", "hamming"])
def test_a_wave_in_noise_is_weighted_as_wiener_has_it(operator: str) -> None:
    """All coefficients of a shell are alike here, so its mean power is that of each."""
    n, sigma = 8, 0.5
    radius = np.sqrt(sum(np.square(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"))))
    power = 4.0 / (1 + (radius / 2).astype(int))  # shells are as wide as two coefficients
    low = fft.idctn(np.sqrt(power), norm="ortho")
    found = fft.dctn(deconvolved(low, operator, sigma=sigma), norm="ortho")[:n, :n, :n] / 2**1.5
    along = transfer(operator, n, 2)
    gain = along[:, None, None] * along[:, None] * along
    # H S / (H^2 S + sigma^2), with the power H^2 S + sigma^2.
    wanted = np.maximum(power - sigma**2, 0) / gain / power
    np.testing.assert_allclose(found / np.sqrt(power), np.minimum(wanted, 10), rtol=1e-9)
