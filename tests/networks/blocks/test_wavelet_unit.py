import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from custom.networks.blocks.wavelet_unit import WaveletUnit, haar_bands


def volume(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


@settings(max_examples=10, deadline=None)
@given(size=st.tuples(*[st.integers(1, 6)] * 3))
def test_sum_is_that_of_the_seven_bands(size):
    """The short cut by the even voxels, against the transform itself."""
    unit = WaveletUnit(3, 2, 4, "sum").double()
    x = volume(2, 3, *size)
    bands = haar_bands(x)
    low, high = unit(x)
    torch.testing.assert_close(low, F.conv3d(bands[:, 0], unit.low.weight, unit.low.bias))
    expected = F.conv3d(bands[:, 1:].sum(1), unit.high.weight, unit.high.bias)
    torch.testing.assert_close(high, expected)


def test_concatenation_keeps_the_bands_apart():
    """Equal weights for all seven make it the sum."""
    apart = WaveletUnit(3, 2, 4, "concatenate").double()
    summed = WaveletUnit(3, 2, 4, "sum").double()
    summed.load_state_dict({**apart.state_dict(), "high.weight": apart.high.weight[:, 3:6]})
    x = volume(1, 3, 5, 4, 6)
    bands = haar_bands(x)[:, 1:]
    weight = apart.high.weight.reshape(4, 7, 3)
    expected = torch.einsum("obc,nbcxyz->noxyz", weight, bands)
    expected = expected + apart.high.bias.reshape(4, 1, 1, 1)
    torch.testing.assert_close(apart(x)[1], expected)
    with torch.no_grad():
        apart.high.weight.copy_(summed.high.weight.repeat(1, 7, 1, 1, 1))
    torch.testing.assert_close(apart(x)[1], summed(x)[1])


def test_unknown_way_is_refused():
    with pytest.raises(ValueError, match="high must be one of"):
        WaveletUnit(1, 1, 1, "mean")
