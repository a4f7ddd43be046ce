import numpy as np
import pytest
import pywt
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from custom.networks.blocks.wavelet_unit import haar_bands

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
    bands = haar_bands(x)
    for band, name in enumerate(NAMES):
        np.testing.assert_allclose(bands[:, band].numpy(), expected[name], atol=1e-12)


def test_is_an_orthonormal_basis():
    """The 8 bands of the 8 unit volumes are an orthogonal matrix."""
    unit = torch.eye(8, dtype=torch.float64).reshape(8, 1, 2, 2, 2)
    matrix = haar_bands(unit).reshape(8, 8)
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(8, dtype=torch.float64))


def test_energy_is_kept():
    x = volume(1, 2, 6, 4, 8)
    assert haar_bands(x).square().sum().item() == pytest.approx(x.square().sum().item())


def test_constant_is_low_only():
    bands = haar_bands(torch.full((1, 1, 3, 5, 4), 2.0))
    torch.testing.assert_close(bands[:, 0], torch.full((1, 1, 2, 3, 2), 2 * 8**0.5))
    assert (bands[:, 1:] == 0).all()


def test_float32_and_script():
    x = volume(1, 1, 5, 6, 7).float()
    scripted = torch.jit.script(haar_bands)
    expected = pywt.dwtn(x[0, 0].numpy(), "haar", mode="symmetric")
    np.testing.assert_allclose(scripted(x)[0, 0b011, 0].numpy(), expected["add"], atol=1e-6)
