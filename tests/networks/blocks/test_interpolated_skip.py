import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from custom.networks.blocks.interpolated_skip import InterpolatedSkip


@settings(max_examples=15, deadline=None)
@given(
    size=st.tuples(*[st.integers(1, 5)] * 3),
    scale=st.sampled_from([1, 2, 3]),
    degradation=st.sampled_from(["linear", "kspace", "nearest"]),
)
def test_each_voxel_is_read_where_its_centre_lies(size, scale, degradation):
    volume = np.random.default_rng(0).normal(size=size)
    offset = (scale - 1) / 2 if degradation == "linear" else 0.0
    axes = [(np.arange(scale * count) - offset) / scale for count in size]
    expected = map_coordinates(volume, np.meshgrid(*axes, indexing="ij"), order=1, mode="nearest")
    found = InterpolatedSkip(degradation, scale)(torch.from_numpy(volume)[None, None])
    np.testing.assert_allclose(found[0, 0].numpy(), expected, atol=1e-12)


def test_unknown_degradation_is_refused():
    with pytest.raises(ValueError, match="degradation must be one of"):
        InterpolatedSkip("cubic")
