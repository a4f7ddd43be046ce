import numpy as np
import pytest
import pywt
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from custom.networks.blocks.haar_wavelet import HaarWavelet3d

SIZES = st.tuples(*[st.integers(1, 7)] * 3)
# In the order of the bands: ``a`` low, ``d`` high, one letter for each axis.
NAMES = ("aaa", "aad", "ada", "add", "daa", "dad", "dda", "ddd")


def volume(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


@settings(max_examples=12, deadline=None)
@given(size=SIZES)
def test_agrees_with_pywavelets(size):
    """Bands, order and signs; at odd sizes its symmetric mode is the repeated last plane."""
    x = volume(2, 3, *size)
    expected = pywt.dwtn(x.numpy(), "haar", mode="symmetric", axes=(2, 3, 4))
    bands = HaarWavelet3d()(x)
    for band, name in enumerate(NAMES):
        np.testing.assert_allclose(bands[:, band].numpy(), expected[name], atol=1e-12)


@settings(max_examples=12, deadline=None)
@given(size=SIZES)
def test_inverse_gives_back_any_size(size):
    wavelet = HaarWavelet3d()
    x = volume(2, 2, *size)
    torch.testing.assert_close(wavelet.inverse(wavelet(x), list(size)), x, atol=1e-13, rtol=0)


def test_is_an_orthonormal_basis():
    """The 8 bands of the 8 unit volumes are an orthogonal matrix; its inverse is the transpose."""
    wavelet = HaarWavelet3d()
    unit = torch.eye(8, dtype=torch.float64).reshape(8, 1, 2, 2, 2)
    matrix = wavelet(unit).reshape(8, 8)
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(8, dtype=torch.float64))
    back = wavelet.inverse(torch.eye(8, dtype=torch.float64).reshape(8, 8, 1, 1, 1, 1), [2, 2, 2])
    torch.testing.assert_close(back.reshape(8, 8), matrix.T)


def test_energy_is_kept():
    x = volume(1, 2, 6, 4, 8)
    assert HaarWavelet3d()(x).square().sum().item() == pytest.approx(x.square().sum().item())


def test_constant_is_low_only():
    bands = HaarWavelet3d()(torch.full((1, 1, 3, 5, 4), 2.0))
    torch.testing.assert_close(bands[:, 0], torch.full((1, 1, 2, 3, 2), 2 * 8**0.5))
    assert (bands[:, 1:] == 0).all()


def test_float32_and_script():
    x = volume(1, 1, 5, 6, 7).float()
    scripted = torch.jit.script(HaarWavelet3d())
    expected = pywt.dwtn(x[0, 0].numpy(), "haar", mode="symmetric")
    np.testing.assert_allclose(scripted(x)[0, 0b011, 0].numpy(), expected["add"], atol=1e-6)


def test_bands_of_another_size_are_refused():
    wavelet = HaarWavelet3d()
    with pytest.raises(ValueError, match="bands of a volume of"):
        wavelet.inverse(wavelet(volume(1, 1, 4, 4, 4)), [4, 4, 5])
