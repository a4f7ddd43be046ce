import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor
from scipy import ndimage, signal
from torch.nn.functional import interpolate

from custom.physics.acquisition import TRAINING_OPERATORS, acquire
from custom.physics.downsampling import (
    DEGRADATIONS,
    check_same_grid,
    downsample,
    grid_offset,
    high_affine,
    low_affine,
    upsample,
)
from custom.transforms.volume_resolution import ACQUIRED, AcquireVolumed, DownsampleVolumed

OBLIQUE = torch.tensor(
    [[0.9, -0.2, 0.1, 7], [0.25, 1.1, 0.02, -40], [-0.02, 0.3, 1.2, 21], [0, 0, 0, 1]],
    dtype=torch.float64,
)
sizes = st.tuples(*[st.integers(12, 17)] * 3)


def world(shape, affine):
    """World coordinates of every voxel, (3, D, H, W)."""
    index = torch.meshgrid(*[torch.arange(float(n)).double() for n in shape], indexing="ij")
    index = torch.stack([*index, torch.ones(tuple(shape)).double()])
    return torch.einsum("ij,j...->i...", affine.double(), index)[:3]


def inner(volume, margin):
    return volume[..., margin:-margin, margin:-margin, margin:-margin]


def smooth_blob(shape, affine, width=3.0):
    centre = world(shape, affine)[:, shape[0] // 2, shape[1] // 2, shape[2] // 2] + 0.3
    distance = (world(shape, affine) - centre.view(3, 1, 1, 1)).square().sum(0)
    return torch.exp(-distance / (2 * width**2))


@pytest.mark.parametrize("degradation", ["linear", "nearest"])
@pytest.mark.parametrize("scale", [1, 2, 3])
@given(shape=sizes)
@settings(max_examples=4, deadline=None)
def test_a_ramp_in_world_coordinates_stays_that_ramp(degradation, scale, shape):
    slopes = torch.tensor([0.7, -1.3, 2.1]).double()
    ramp = torch.einsum("i,i...->...", slopes, world(shape, OBLIQUE)) + 5
    low = downsample(ramp[None, None], degradation, scale)[0, 0]
    assert low.shape == tuple(n // scale for n in shape)
    expected = torch.einsum(
        "i,i...->...", slopes, world(low.shape, low_affine(OBLIQUE, degradation, scale))
    )
    torch.testing.assert_close(inner(low, 1), inner(expected + 5, 1))


@pytest.mark.parametrize("degradation", DEGRADATIONS)
@pytest.mark.parametrize("shape", [(40, 44, 42), (41, 39, 43)])
def test_a_smooth_blob_keeps_its_centre_and_its_mass(degradation, shape):
    high = smooth_blob(shape, OBLIQUE)
    low = downsample(high[None, None], degradation)[0, 0]

    def centre(values, affine):
        return (world(values.shape, affine) * values).flatten(1).sum(1) / values.sum()

    torch.testing.assert_close(
        centre(low, low_affine(OBLIQUE, degradation)), centre(high, OBLIQUE), atol=2e-3, rtol=0
    )
    torch.testing.assert_close(8 * low.sum(), high.sum(), rtol=2e-3, atol=0)


@given(shape=st.tuples(*[st.integers(6, 11)] * 3))
@settings(max_examples=5, deadline=None)
def test_linear_is_the_triangle_filter_at_the_middle_of_each_pair(shape):
    high = np.random.default_rng(1).random(shape)
    filtered = high
    for axis in range(3):
        # Distances of 1/2 and 3/2 voxels, half width 2: (3, 1) / 8.
        filtered = ndimage.correlate1d(filtered, [1 / 8, 3 / 8, 3 / 8, 1 / 8], axis, origin=-1)
    # scipy puts the window's centre at its third weight; origin -1 moves it to the second.
    expected = filtered[:-1:2, :-1:2, :-1:2]
    low = downsample(torch.from_numpy(high)[None, None], "linear")[0, 0].numpy()
    np.testing.assert_allclose(inner(low, 1), inner(expected, 1), rtol=1e-12)


def test_linear_filters_every_plane_as_torch_does_in_2d():
    plane = torch.rand(1, 1, 14, 18, generator=torch.Generator().manual_seed(0))
    expected = interpolate(plane, scale_factor=0.5, mode="bilinear", antialias=True)
    for axis in (2, 3, 4):
        high = plane.unsqueeze(axis).repeat_interleave(6, axis)
        low = downsample(high, "linear")
        torch.testing.assert_close(low, expected.unsqueeze(axis).repeat_interleave(3, axis))


@pytest.mark.parametrize("degradation", DEGRADATIONS)
@pytest.mark.parametrize("scale", [1, 2, 3])
def test_a_constant_stays_constant_up_to_the_borders(degradation, scale):
    high = torch.full((2, 1, 12, 13, 15), 3.5)
    low = downsample(high, degradation, scale)
    torch.testing.assert_close(low, torch.full_like(low, 3.5))
    torch.testing.assert_close(
        upsample(low, degradation, scale),
        torch.full_like(high, 3.5)[
            ..., : 12 // scale * scale, : 13 // scale * scale, : 15 // scale * scale
        ],
    )


@given(shape=st.tuples(*[st.sampled_from([12, 14, 18])] * 3), data=st.data())
@settings(max_examples=8, deadline=None)
def test_kspace_keeps_waves_below_the_new_nyquist_frequency_and_removes_the_others(shape, data):
    waves = [data.draw(st.integers(0, n // 2), label="wave number") for n in shape]
    index = torch.meshgrid(*[torch.arange(n).double() for n in shape], indexing="ij")
    phase = sum(2 * math.pi * w * i / n for w, i, n in zip(waves, index, shape, strict=True))
    high = torch.cos(phase + 0.4)
    low = downsample(high[None, None], "kspace")[0, 0]
    nyquist = [n // 2 / 2 for n in shape]
    if all(w < limit for w, limit in zip(waves, nyquist, strict=True)):
        torch.testing.assert_close(low, high[::2, ::2, ::2])
    if any(w > limit for w, limit in zip(waves, nyquist, strict=True)):
        assert low.abs().max() < 1e-12


@given(shape=sizes)
@settings(max_examples=4, deadline=None)
def test_kspace_agrees_with_scipy_and_keeps_the_mean(shape):
    high = np.random.default_rng(2).random(shape)
    expected = high[tuple(slice(0, n - n % 2) for n in shape)]
    mean = expected.mean()
    for axis in range(3):
        expected = signal.resample(expected, expected.shape[axis] // 2, axis=axis)
    low = downsample(torch.from_numpy(high)[None, None], "kspace")[0, 0].numpy()
    np.testing.assert_allclose(low, expected, atol=1e-12)
    assert low.mean() == pytest.approx(mean, rel=1e-12)


@pytest.mark.parametrize("degradation", DEGRADATIONS)
def test_a_volume_as_thin_as_the_scale_becomes_one_plane(degradation):
    high = torch.tensor([1.0, 3.0]).view(1, 1, 2, 1, 1).expand(1, 1, 2, 4, 6)
    low = downsample(high, degradation)
    torch.testing.assert_close(low, torch.full_like(low, 1.0 if degradation == "nearest" else 2.0))
    assert low.shape[2:] == (1, 2, 3)


def test_kspace_has_the_energy_of_the_frequencies_it_keeps():
    # Odd low-resolution sizes have no Nyquist frequency, so Parseval's theorem is exact.
    high = torch.rand(14, 18, 10, generator=torch.Generator().manual_seed(3)).double()
    energy = torch.fft.fftn(high, norm="forward").abs().square()
    kept = [(torch.fft.fftfreq(n, 1 / n).abs() < n / 4).double() for n in high.shape]
    expected = torch.einsum("ijk,i,j,k->", energy, *kept)
    low = downsample(high[None, None], "kspace")
    torch.testing.assert_close(low.square().mean(), expected)


def test_nearest_is_every_second_voxel():
    high = torch.rand(1, 2, 7, 8, 9)
    torch.testing.assert_close(
        downsample(high, "nearest"), high[..., 0:6:2, 0:8:2, 0:8:2], rtol=0, atol=0
    )


@pytest.mark.parametrize("degradation", DEGRADATIONS)
@pytest.mark.parametrize("scale", [1, 2, 3])
def test_affines_map_the_same_point_and_invert_each_other(degradation, scale):
    low = low_affine(OBLIQUE, degradation, scale)
    index = torch.tensor([3.0, 5, 2, 1]).double()
    offset = {"kspace": 0.0, "nearest": 0.0}.get(degradation, (scale - 1) / 2)
    on_high = torch.tensor([3.0 * scale, 5 * scale, 2 * scale, 1]).double()
    on_high[:3] += offset
    torch.testing.assert_close(low @ index, OBLIQUE @ on_high)
    torch.testing.assert_close(high_affine(low, degradation, scale), OBLIQUE)
    assert grid_offset(degradation, scale) == offset


@pytest.mark.parametrize("mode", ["trilinear", "cubic"])
@pytest.mark.parametrize("degradation", DEGRADATIONS)
@pytest.mark.parametrize("scale", [1, 2, 3])
def test_upsampling_reproduces_a_ramp_on_the_high_resolution_grid(mode, degradation, scale):
    shape = (24, 25, 26)
    slopes = torch.tensor([0.7, -1.3, 2.1]).double()
    low = torch.einsum("i,i...->...", slopes, world(shape, low_affine(OBLIQUE, degradation, scale)))
    fine = upsample(low[None, None], degradation, scale, mode)[0, 0]
    expected = torch.einsum("i,i...->...", slopes, world(fine.shape, OBLIQUE))
    assert fine.shape == tuple(scale * n for n in shape)
    # What the mirrored edge does to a spline decays by 2 - sqrt(3) a voxel.
    margin = scale * (2 if mode == "trilinear" else 9)
    torch.testing.assert_close(inner(fine, margin), inner(expected, margin), atol=1e-3, rtol=0)


@pytest.mark.parametrize("degradation", ["kspace", "nearest"])
@pytest.mark.parametrize("mode", ["trilinear", "cubic"])
def test_interpolation_goes_through_the_voxels_that_both_grids_share(degradation, mode):
    low = torch.rand(1, 2, 5, 6, 7).double()
    fine = upsample(low, degradation, 2, mode)
    torch.testing.assert_close(fine[..., ::2, ::2, ::2], low)


def test_cubic_is_scipys_zoom_where_both_grids_fill_one_box():
    low = np.random.default_rng(4).random((7, 8, 9))
    fine = upsample(torch.from_numpy(low)[None, None], "linear", 2, "cubic")[0, 0].numpy()
    expected = ndimage.zoom(low, 2, order=3, mode="mirror", grid_mode=True)
    np.testing.assert_allclose(fine, expected, atol=1e-10)


def test_the_transform_gives_the_partner_its_affine_and_crops_the_reference():
    high = MetaTensor(torch.rand(1, 13, 12, 11), affine=OBLIQUE)
    out = DownsampleVolumed(["label"], ["image"], "linear")({"label": high})
    assert out["label"].shape == (1, 12, 12, 10)
    assert out["image"].shape == (1, 6, 6, 5)
    torch.testing.assert_close(out["label"].affine, OBLIQUE)
    torch.testing.assert_close(out["image"].affine, low_affine(OBLIQUE, "linear"))
    torch.testing.assert_close(high.affine, OBLIQUE)
    expected = downsample(high.as_subclass(torch.Tensor)[None, :, :12, :12, :10], "linear")[0]
    torch.testing.assert_close(out["image"].as_subclass(torch.Tensor), expected)


def test_a_family_of_operators_and_noise_is_drawn_and_a_named_one_is_repeated():
    high = torch.rand(1, 12, 10, 9, generator=torch.Generator().manual_seed(0)) + 1
    whole = high[None, ..., :8]
    transform = AcquireVolumed("label", "image", most_noise=0.1).set_random_state(0)
    seen, deviations = set(), []
    for _ in range(150):
        low = transform({"label": high})["image"]
        operator, share, noise = (transform.drawn[key] for key in ("operator", "share", "noise"))
        added = low - acquire(whole, operator, 2, share)[0]
        assert float(added.std()) == pytest.approx(noise, rel=0.3, abs=1e-6)
        seen.add(operator)
        deviations.append(noise)
    assert seen == set(TRAINING_OPERATORS)
    assert 0.2 < deviations.count(0.0) / 150 < 0.5
    assert 0.09 < max(deviations) <= 0.1
    item = {"label": high, "scan": "a", "operator": "box", "noise": 0.05}
    first, again, other = (transform(item | more)["image"] for more in ({}, {}, {"scan": "b"}))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    plain = transform(item | {"noise": 0.0})["image"]
    torch.testing.assert_close(plain, acquire(whole, "box", 2)[0])
    linear = AcquireVolumed("label", "image", "linear")({"label": high})
    assert torch.equal(linear["image"], downsample(whole, "linear")[0])
    assert linear[f"image{ACQUIRED}"]["operator"] == "triangle"


def test_thick_slices_are_drawn_along_one_axis():
    high = torch.rand(1, 20, 20, 20, generator=torch.Generator().manual_seed(0))
    transform = AcquireVolumed("label", "image", most_noise=0.0, thick=0.5).set_random_state(0)
    found = []
    for _ in range(60):
        made = transform({"label": high})
        how = made[f"image{ACQUIRED}"]
        found.append(how["scale"])
        expected = acquire(high[None], how["operator"], how["scale"], how["share"])[0]
        torch.testing.assert_close(made["image"], expected.abs())
        assert how["shape"] == high.shape[1:]
    thick = {scale for scale in found if scale != 2}
    assert 0.3 < found.count(2) / 60 < 0.7
    assert {max(scale) for scale in thick} == {2, 3, 4, 5}
    assert {scale.index(max(scale)) for scale in thick} == {0, 1, 2}
    assert all(sorted(scale)[:2] == [1, 1] for scale in thick)


@pytest.mark.parametrize("degradation", ["truncated", "box", "linear", "kspace"])
def test_a_factor_an_axis_leaves_the_others_as_they_are(degradation):
    high = torch.rand(1, 1, 6, 5, 8, generator=torch.Generator().manual_seed(0))
    low = downsample(high, degradation, (1, 1, 4))
    columns = downsample(high.view(1, 1, 30, 1, 8).expand(1, 1, 30, 4, 8), degradation, (1, 4, 4))
    assert low.shape == (1, 1, 6, 5, 2)
    torch.testing.assert_close(low.view(30, 2), columns[0, 0, :, 0])
    for mode in ("trilinear", "cubic"):
        fine = upsample(torch.ones_like(low), degradation, (1, 1, 4), mode)
        torch.testing.assert_close(fine, torch.ones_like(high), atol=1e-5, rtol=0)
    affine = torch.diag(torch.tensor([1.0, 1.0, 0.5, 1.0]))
    there = low_affine(affine, degradation, (1, 1, 4))
    assert there.diagonal().tolist() == [1, 1, 2, 1]
    assert there[2, 3] == (0.0 if degradation == "kspace" else 0.75)
    torch.testing.assert_close(high_affine(there, degradation, (1, 1, 4)), affine)


def test_an_operator_of_another_grid_is_refused():
    check_same_grid("acquired", "hamming")
    with pytest.raises(ValueError, match="acquired_by kspace has another grid"):
        check_same_grid("acquired", "kspace")
    with pytest.raises(ValueError, match=r"^acquired_by must be one of"):
        check_same_grid("acquired", "sinc")


def test_wrong_arguments_are_named():
    volume = torch.zeros(1, 1, 4, 4, 4)
    with pytest.raises(ValueError, match="degradation"):
        downsample(volume, "bicubic")
    with pytest.raises(ValueError, match="scale"):
        downsample(volume, "linear", 0)
    with pytest.raises(ValueError, match="volume"):
        downsample(volume[0], "linear")
    with pytest.raises(ValueError, match="mode"):
        upsample(volume, "linear", 2, "sinc")
    with pytest.raises(ValueError, match="names"):
        DownsampleVolumed(["a", "b"], ["c"])
    with pytest.raises(ValueError, match="at least 2 voxels"):
        downsample(volume[..., :1], "linear")
