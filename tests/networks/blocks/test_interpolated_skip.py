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


def test_lanczos_has_its_weights_and_its_place():
    wave = torch.cos(0.4 * torch.arange(40.0, dtype=torch.float64))
    for axis, scale in ((2, 2), (3, 3), (4, 2)):
        shape = [40 if other == axis else 5 for other in (2, 3, 4)]
        volume = wave.view(*(-1 if other == axis else 1 for other in (2, 3, 4))).expand(
            2, 3, *shape
        )
        fine = InterpolatedSkip("acquired", scale).double()(volume).movedim(axis, -1)
        assert fine.shape == (2, 3, 5 * scale, 5 * scale, 40 * scale)
        place = (torch.arange(40.0 * scale, dtype=torch.float64) - (scale - 1) / 2) / scale
        inner = slice(8 * scale, -8 * scale)
        expected = torch.cos(0.4 * place)[inner].expand(fine[..., inner].shape)
        torch.testing.assert_close(fine[..., inner], expected, atol=8e-3, rtol=0)
        # An impulse gives the kernel itself.
        impulse = torch.zeros(1, 1, 1, 1, 21, dtype=torch.float64)
        impulse[..., 10] = 1
        t = (np.arange(21 * scale) - (scale - 1) / 2) / scale - 10
        kernel = np.sinc(t) * np.sinc(t / 8) * (abs(t) < 8)
        found = InterpolatedSkip("acquired", scale).double()(impulse)[0, 0, 0, 0].numpy()
        assert np.abs(found - kernel).max() < 0.02  # divided by sums near 1


def test_unknown_degradation_is_refused():
    with pytest.raises(ValueError, match="degradation must be one of"):
        InterpolatedSkip("cubic")
