"""Each operator against its closed form, and the noise against its moments."""

import numpy as np
import pytest
import torch
from scipy import fft

from custom.physics.acquisition import (
    OPERATORS,
    _tensor,
    acquire,
    axis_matrix,
    cosines,
    rician,
    transfer,
)

DEVIATION = 1 / np.sqrt(8 * np.log(2))  # of a Gaussian of unit full width at half maximum


def closed_form(operator, omega, scale, share):
    """The factor of a cosine of ``omega`` radians a fine voxel, below the coarse grid's Nyquist."""
    hamming = 0.54 + 0.46 * np.cos(omega * scale)
    half = np.where(omega == 0, 1e-9, omega) / 2
    box = np.sin(half * scale) / (scale * np.sin(half))
    reach = np.arange(-2 * scale, 2 * scale) + (scale + 1) % 2 / 2
    taps = np.clip(1 - abs(reach) / scale, 0, None)
    spline = {
        2: (23 * np.cos(omega / 2) + np.cos(1.5 * omega)) / 4 / (4 + 2 * np.cos(omega)),
        3: np.ones_like(omega),
    }
    return {
        "kspace": np.ones_like(omega),
        "hamming": hamming,
        "fermi": (1 + np.exp(-12.5)) / (1 + np.exp((omega * scale / np.pi - 1) / 0.08)),
        "partial": 1 - share + share * hamming,
        "box": box,
        "triangle": np.cos(np.multiply.outer(omega, reach)) @ taps / taps.sum(),
        "slice": np.exp(-0.5 * (omega * DEVIATION * scale) ** 2),
        "spline": spline[scale],
    }[operator]


def noise_gain(operator, size, scale, share):
    """The deviation of white noise after the operator along one axis, in the volume's middle."""
    omega = np.pi * np.arange(size) / (size * scale)
    tap = np.arange(-10 * scale, 10 * scale) + (scale + 1) % 2 / 2
    taps = {
        "box": (abs(tap) < scale / 2).astype(float),
        "triangle": np.clip(1 - abs(tap) / scale, 0, None),
        "slice": np.exp(-0.5 * (tap / (DEVIATION * scale)) ** 2),
    }
    if operator in taps:
        return np.sqrt((taps[operator] ** 2).sum()) / taps[operator].sum()
    if operator == "spline":  # all frequencies of the fine grid pass, in both directions
        omega = np.linspace(0, np.pi, 20001)
        return np.sqrt(np.trapezoid(closed_form("spline", omega, scale, share) ** 2, omega) / np.pi)
    return np.sqrt((closed_form(operator, omega, scale, share) ** 2).mean() / scale)


@pytest.mark.parametrize("scale", [2, 3])
@pytest.mark.parametrize("operator", OPERATORS)
class TestOperatorOfAnAxis:
    def test_a_cosine_keeps_its_place_and_takes_the_factor_of_the_closed_form(
        self, operator, scale
    ):
        size, share = 24, 0.3
        found = axis_matrix(operator, size, scale, share)
        fine, coarse = np.arange(size * scale), scale * np.arange(size) + (scale - 1) / 2
        inner = slice(4, -4) if operator == "triangle" else slice(None)  # torch cuts it at faces
        for order in (0, 1, 5, 12, 22):
            omega = np.pi * order / (size * scale)
            factor = closed_form(operator, np.array(omega), scale, share)
            expected = factor * np.cos(omega * (coarse + 0.5))
            seen = found @ np.cos(omega * (fine + 0.5))
            # 3e-4: a Gaussian sampled at the fine voxels aliases a little at the band's edge
            assert np.abs(seen - expected)[inner].max() < 3e-4, (order, factor)
            if operator != "triangle":
                assert abs(transfer(operator, size, scale, share)[order] - factor) < 3e-4

    def test_white_noise_has_the_deviation_of_the_closed_form(self, operator, scale):
        size, share = 40, 0.3
        rows = np.sqrt((axis_matrix(operator, size, scale, share) ** 2).sum(axis=1))
        expected = noise_gain(operator, size, scale, share)
        if operator in ("kspace", "hamming", "fermi", "partial"):  # not the same in each voxel
            assert abs(np.sqrt((rows**2).mean()) - expected) < 1e-9
        else:
            assert abs(rows[size // 2] - expected) < 1e-4


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_constant_keeps_its_value_and_an_object_its_place(operator):
    size, scale, centre = 64, (2, 1, 4), 34.3
    flat = acquire(torch.ones(1, 1, size, size, size, dtype=torch.float64), operator, scale)
    assert flat.shape == (1, 1, 32, 64, 16)
    assert (flat - 1).abs().max() < 1e-6
    # A Gaussian object, not a ramp: mirrored at the faces a ramp has kinks, and k-space rings.
    object_ = torch.exp(-0.5 * ((torch.arange(size, dtype=torch.float64) - centre) / 6) ** 2)
    volume = torch.einsum("i,j,k->ijk", object_, object_, object_)
    low = acquire(volume[None, None], operator, scale)[0, 0]
    for axis, factor in enumerate(scale):
        place = factor * torch.arange(low.shape[axis]) + (factor - 1) / 2
        profile = low.sum([other for other in range(3) if other != axis])
        assert abs(float((profile * place).sum() / profile.sum()) - centre) < 1e-4


def test_k_space_truncation_is_a_crop_of_the_discrete_fourier_transform():
    """Of an object that ends within the volume, whose transform needs no mirror."""
    fine, scale = 64, 2
    size = fine // scale
    x = np.arange(fine)
    signal = np.exp(-0.5 * ((x - 29.3) / 1.6) ** 2)
    spectrum = fft.fft(signal)
    frequency = fft.fftfreq(fine, 1 / fine)
    place = scale * np.arange(size) + (scale - 1) / 2
    inside = abs(frequency) < size / 2
    waves = np.exp(2j * np.pi * np.outer(place, frequency[inside]) / fine)
    expected = (waves @ spectrum[inside]).real / fine
    # Gibbs ringing of the two conventions differs by the sample at the band's very edge.
    assert np.abs(axis_matrix("kspace", size, scale) @ signal - expected).max() < 6e-3


@pytest.mark.parametrize("operator", OPERATORS)
def test_the_transpose_is_the_adjoint(operator):
    draw = np.random.default_rng(0)
    fine, coarse = draw.normal(size=18), draw.normal(size=6)
    matrix = axis_matrix(operator, 6, 3)
    assert np.isclose((matrix @ fine) @ coarse, fine @ (matrix.T @ coarse))
    assert np.allclose(cosines(18) @ cosines(18).T, np.eye(18))


def test_only_the_thickest_axis_has_a_slice_profile():
    volume = torch.rand(1, 1, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    thick = acquire(volume, "slice", (1, 4, 1))
    by_hand = torch.einsum(
        "kn,bcdnw->bcdkw", torch.tensor(axis_matrix("slice", 2, 4)).float(), volume
    )
    torch.testing.assert_close(thick, by_hand)
    assert not torch.allclose(acquire(volume, "slice", 2), acquire(volume, "kspace", 2))


def test_rician_noise_has_the_moments_of_the_distribution():
    level, count = 0.5, 200_000
    signal = torch.full((1, 1, 1, 1, count), 2.0)
    noisy = rician(signal, level, torch.Generator().manual_seed(0))
    # E y^2 = S^2 + 2 s^2, var y^2 = 4 s^2 (S^2 + s^2).
    error = 2 * level * np.sqrt((4 + level**2) / count)
    assert abs(float(noisy.double().square().mean()) - (4 + 2 * level**2)) < 5 * error
    air = rician(0 * signal, level, torch.Generator().manual_seed(1)).double()
    assert abs(float(air.mean()) - level * np.sqrt(np.pi / 2)) < 5 * 0.655 * level / np.sqrt(count)
    assert torch.equal(rician(-signal, 0.0, torch.Generator()), signal)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("sinc", 2), "operator must be one of"),
        (("box", 0), "scale must be at least 1"),
        (("box", (1, 2)), "one number or three"),
        (("box", 9), "8 voxels cannot become 9 times fewer"),
        (("partial", 2, 1.5), "share must be between"),
    ],
)
def test_settings_out_of_range_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        acquire(torch.zeros(1, 1, 8, 8, 8), *arguments)


def test_a_share_that_an_operator_does_not_use_makes_no_new_matrix():
    volume = torch.rand(1, 1, 8, 8, 8)
    first = acquire(volume, "hamming", share=0.3)
    made = _tensor.cache_info().misses
    assert torch.equal(acquire(volume, "hamming", share=0.7), first)
    assert _tensor.cache_info().misses == made
    acquire(volume, "partial", share=0.7123)
    assert _tensor.cache_info().misses == made + 1
    with pytest.raises(ValueError, match="share must be between 0 and 1"):
        acquire(volume, "hamming", share=1.5)
