"""Data consistency against k-space itself, and against what degrading the result gives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor
from torch import Tensor

from custom.errors import InputError
from custom.physics.acquisition import transfer
from custom.physics.data_consistency import data_consistency
from custom.physics.downsampling import Degradation, downsample
from custom.transforms.super_resolution import DataConsistencyd

SHAPES = st.tuples(st.integers(2, 7), st.integers(2, 7), st.integers(2, 7))


def pair(shape: tuple[int, ...], seed: int, scale: int = 2) -> tuple[Tensor, Tensor]:
    """A restored volume and an unrelated measured one, in double precision."""
    rng = torch.Generator().manual_seed(seed)
    high = torch.rand(1, 2, *(scale * n for n in shape), generator=rng, dtype=torch.float64)
    return high, torch.rand(1, 2, *shape, generator=rng, dtype=torch.float64)


def kspace(volume: Tensor) -> np.ndarray:
    """Centred spectrum, such that a constant volume has the same at every matrix size."""
    axes = (-3, -2, -1)
    spectrum = np.fft.fftn(volume.numpy(), axes=axes, norm="forward")
    return np.fft.fftshift(spectrum, axes=axes)


@settings(max_examples=10, deadline=None)
@given(shape=SHAPES, strength=st.floats(0, 1), seed=st.integers(0, 99))
def test_the_centre_of_kspace_is_blended_and_the_rest_kept(
    shape: tuple[int, int, int], strength: float, seed: int
) -> None:
    high, low = pair(shape, seed)
    before, after, measured = (
        kspace(volume) for volume in (high, data_consistency(high, low, strength, "kspace"), low)
    )
    # Frequencies below the Nyquist frequency of the small matrix, which shares two samples.
    fine, coarse = [slice(None)] * 2, [slice(None)] * 2
    outside = np.ones(before.shape[2:], bool)
    touched = np.zeros_like(outside)
    for n in shape:
        reach = (n - 1) // 2
        fine.append(slice(n - reach, n + reach + 1))
        coarse.append(slice(n // 2 - reach, n // 2 + reach + 1))
    touched[tuple(slice(n - n // 2, n + n // 2 + 1) for n in shape)] = True
    outside &= ~touched
    blend = (1 - strength) * before[tuple(fine)] + strength * measured[tuple(coarse)]
    np.testing.assert_allclose(after[tuple(fine)], blend, atol=1e-12)
    np.testing.assert_allclose(after[..., outside], before[..., outside], atol=1e-12)


@settings(max_examples=10, deadline=None)
@given(
    shape=SHAPES,
    seed=st.integers(0, 99),
    degradation=st.sampled_from(["kspace", "nearest"]),
    scale=st.integers(1, 3),
)
def test_degrading_the_result_gives_what_was_measured(
    shape: tuple[int, int, int], seed: int, degradation: Degradation, scale: int
) -> None:
    high, low = pair(shape, seed, scale)
    held = data_consistency(high, low, 1.0, degradation, scale)
    torch.testing.assert_close(downsample(held, degradation, scale), low, atol=1e-6, rtol=0)


@pytest.mark.parametrize("degradation", ["linear", "kspace", "nearest"])
def test_the_strength_is_linear_and_0_changes_nothing(degradation: Degradation) -> None:
    high, low = pair((5, 6, 4), 1)
    none, half, full = (data_consistency(high, low, s, degradation) for s in (0.0, 0.5, 1.0))
    torch.testing.assert_close(none, high, atol=0, rtol=0)
    torch.testing.assert_close(half, (high + full) / 2)
    assert float((full - high).abs().max()) > 0.1


@pytest.mark.parametrize("shape", [(16, 16, 16), (15, 12, 9)])
@pytest.mark.parametrize("scale", [2, 3])
def test_linear_residuals_shrink(shape: tuple[int, int, int], scale: int) -> None:
    """By 3 at least over the volume, whose border has a rule of its own, and by 100 inside."""
    high, low = pair(shape, 2, scale)

    def residual(strength: float) -> Tensor:
        held = data_consistency(high, low, strength, "linear", scale, max_gain=math.inf)
        return downsample(held, "linear", scale) - low

    before, half, after = (residual(strength) for strength in (0.0, 0.5, 1.0))
    assert float(after.norm()) < float(before.norm()) / 3
    inside = (..., slice(1, -1), slice(1, -1), slice(1, -1))
    assert float(after[inside].norm()) < float(before[inside].norm()) / 100
    torch.testing.assert_close(half[inside], before[inside] / 2, atol=0.02, rtol=0)


def test_a_wave_that_was_measured_comes_back_at_its_full_height() -> None:
    """A cosine that is mirrored at the faces: the filter's own border rule aside, exact."""
    n, k = 24, 5
    place = (torch.arange(2 * n, dtype=torch.float64) + 0.5) / (2 * n)
    wave = torch.cos(math.pi * k * place).reshape(1, 1, -1, 1, 1).expand(1, 1, -1, 8, 8)
    low = downsample(wave.contiguous(), "linear")
    held = data_consistency(torch.zeros_like(wave), low, 1.0, "linear")
    assert float((held - wave).abs()[:, :, 6:-6].max()) < 0.02
    assert float((low.abs().amax() - 1).abs()) > 0.03  # the filter had lowered it


@pytest.mark.parametrize("degradation", ["acquired", "hamming", "fermi", "box", "slice"])
def test_what_an_acquisition_measured_is_put_in_place(degradation: Degradation) -> None:
    """Up to the operator's own inverse; a wave above the band stays the network's."""
    measured = torch.rand(1, 1, 6, 7, 8, generator=torch.Generator().manual_seed(0)).double()
    restored = torch.rand(1, 1, 12, 14, 16, generator=torch.Generator().manual_seed(1)).double()
    held = data_consistency(restored, measured, 1.0, degradation, 2, math.inf)
    torch.testing.assert_close(downsample(held, degradation), measured, atol=1e-3, rtol=0)
    assert float((held - restored).abs().max()) > 0.1


@pytest.mark.parametrize("scale", [2, 3])
def test_the_transfer_function_is_the_filters(scale: int) -> None:
    """Away from the border, on waves of any frequency and phase."""
    n = 12
    place = torch.arange(scale * n, dtype=torch.float64)
    centres = scale * torch.arange(n, dtype=torch.float64) + (scale - 1) / 2
    gains = transfer("triangle", n, scale)
    for index in (0, 2, 5, 11):
        frequency = math.pi * index / (n * scale)
        wave = torch.cos(frequency * place + 0.4).reshape(1, 1, -1, 1, 1)
        low = downsample(wave.expand(1, 1, -1, 2 * scale, 2 * scale).contiguous(), "linear", scale)
        expected = gains[index] * torch.cos(frequency * centres + 0.4)
        torch.testing.assert_close(low[0, 0, 2:-2, 0, 0], expected[2:-2], atol=1e-9, rtol=0)
    edge = transfer("triangle", 400, 2)[-1]
    assert edge == pytest.approx(0.3536, abs=5e-3)


def test_the_gain_is_limited() -> None:
    """A measured checkerboard of the corner of the band is amplified by no more than asked for."""
    shape = (16, 16, 16)
    signs = (-1.0) ** torch.arange(16, dtype=torch.float64)
    low = (signs[:, None, None] * signs[:, None] * signs)[None, None]
    zeros = torch.zeros(1, 1, *(2 * n for n in shape), dtype=torch.float64)

    def energy(max_gain: float) -> float:
        return float(data_consistency(zeros, low, 1.0, "linear", max_gain=max_gain).norm())

    assert energy(2.0) < energy(4.0) < energy(math.inf)
    assert energy(1.0) == pytest.approx(float(low.norm()) * math.sqrt(8), rel=1e-6)


def test_geometry_and_other_entries_are_kept() -> None:
    high, low = (part[0] for part in pair((4, 5, 6), 3))
    affine = torch.diag(torch.tensor([0.5, 0.5, 0.5, 1.0], dtype=torch.float64))
    data = {"pred": MetaTensor(high, affine=affine), "image": low, "more": 1}
    result = DataConsistencyd("pred", strength=1.0, degradation="kspace")(data)
    torch.testing.assert_close(result["pred"].affine, affine)
    assert result["more"] == 1
    expected = data_consistency(high[None], low[None], 1.0, "kspace")[0]
    torch.testing.assert_close(result["pred"].as_tensor(), expected)
    assert DataConsistencyd("pred")(data)["pred"] is data["pred"]


def test_a_hot_voxel_that_would_ring_through_the_volume_is_refused() -> None:
    data = {"pred": torch.rand(1, 16, 12, 12) + 0.5, "image": torch.rand(1, 8, 6, 6) + 0.5}
    data["image"][0, 2, 2, 2] = 100.0
    with pytest.raises(InputError, match="1 voxels are more than 20 times as bright"):
        DataConsistencyd("pred", strength=1.0)(data)
    assert DataConsistencyd("pred", strength=0.0)(data)["pred"] is data["pred"]


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"strength": -0.1}, "data_consistency"),
        ({"strength": 1.1}, "data_consistency"),
        ({"strength": math.nan}, "data_consistency"),
        ({"strength": "much"}, "data_consistency"),
        ({"max_gain": 0.0}, "max_gain"),
        ({"strength": 0.5, "scale": 1}, "leave --data_consistency out with --config denoise"),
    ],
)
def test_settings_out_of_range(settings: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        DataConsistencyd("pred", **settings)


def test_volumes_of_other_grids_are_refused() -> None:
    high, low = pair((4, 5, 6), 4)
    with pytest.raises(ValueError, match="restored"):
        data_consistency(high[..., :-1], low, 1.0)
