import math

import numpy as np
import pytest
from scipy import fft, stats

from custom.physics.kspace_acquisition import (
    DEFAULT_SCAN,
    FAST_SCAN,
    Acquisition,
    acquire,
    reconstruct,
    sample_noise_std,
    simulate_low_resolution,
    snr_ratio,
)


def centres(size):
    """Voxel centres over a field of view of 1."""
    return (np.arange(size) + 0.5) / size - 0.5


def centroid(image):
    rows, columns = (centres(size) for size in image.shape)
    weight = image.sum()
    return (image.sum(1) @ rows) / weight, (image.sum(0) @ columns) / weight


def blob(size, x=0.11, y=-0.07, width=0.06):
    rows, columns = np.meshgrid(centres(size), centres(size), indexing="ij")
    return np.exp(-((rows - x) ** 2 + (columns - y) ** 2) / (2 * width**2))


@pytest.mark.parametrize("matrix", [(32, 32), (48, 28), (33, 41)])
def test_an_object_stays_where_it_is_on_every_grid(matrix):
    image = np.abs(reconstruct(blob(96), matrix))
    # A Gaussian of this width has no content beyond the band of the coarsest grid.
    np.testing.assert_allclose(centroid(image), (0.11, -0.07), atol=1e-5)
    rows, columns = np.meshgrid(*(centres(n) for n in matrix), indexing="ij")
    exact = np.exp(-((rows - 0.11) ** 2 + (columns + 0.07) ** 2) / (2 * 0.06**2))
    np.testing.assert_allclose(image, exact, atol=1e-5)


@pytest.mark.parametrize(("kx", "ky"), [(0, 0), (3, -2), (-11, 7)])
def test_a_complex_exponential_is_resampled_exactly(kx, ky):
    def wave(nx, ny):
        rows, columns = np.meshgrid(centres(nx), centres(ny), indexing="ij")
        return np.exp(2j * np.pi * (kx * rows + ky * columns))

    np.testing.assert_allclose(reconstruct(wave(60, 80), (24, 31)), wave(24, 31), atol=1e-12)


def test_a_wave_beyond_the_band_vanishes():
    rows = centres(64)[:, None] * np.ones((1, 64))
    assert np.abs(reconstruct(np.exp(2j * np.pi * 13 * rows), (24, 24))).max() < 1e-12


def test_the_same_matrix_gives_the_same_image_and_the_mean_is_kept():
    image = np.random.default_rng(0).random((20, 30, 2))
    np.testing.assert_allclose(reconstruct(image, (20, 30)), image, atol=1e-12)
    low = reconstruct(image, (10, 12))
    np.testing.assert_allclose(low.mean((0, 1)), image.mean((0, 1)), atol=1e-12)


def test_energy_a_voxel_is_that_of_the_kept_spectrum():
    image = np.random.default_rng(1).random((40, 40))
    spectrum = fft.fftshift(fft.fft2(image, norm="forward"))[10:30, 10:30]
    low = reconstruct(image, (20, 20))
    np.testing.assert_allclose((np.abs(low) ** 2).mean(), (np.abs(spectrum) ** 2).sum())


def test_an_edge_rings_as_gibbs_says():
    # A box, sampled finely; the partial sum overshoots each edge by 8.949 % of the step.
    fine = (np.abs(centres(4096)) < 0.25).astype(float)[:, None] * np.ones((1, 2))
    low = reconstruct(fine, (128, 2)).real[:, 0]
    # Where the overshoot lies between voxels, look between them by zero filling.
    spectrum = fft.fft(low)
    padded = np.zeros(4096, complex)
    padded[:64], padded[-64:] = spectrum[:64], spectrum[-64:]
    overshoot = (fft.ifft(padded).real * 4096 / 128).max() - 1
    wilbraham = 2 / math.pi * 1.851937051982466
    assert overshoot == pytest.approx((wilbraham - 1) / 2, abs=2e-3)


@pytest.mark.parametrize("signal", [0.0, 1.0, 5.0])
def test_the_noise_is_rician(signal):
    scan = Acquisition((200, 200), 4)
    sigma = 0.7
    image = acquire(
        np.full((200, 200), signal), scan, sigma / scan.noise_gain, np.random.default_rng(2)
    )
    count = image.size
    rice = stats.rice(signal / sigma, scale=sigma)
    mean, variance, _, excess = rice.stats(moments="mvsk")
    assert image.mean() == pytest.approx(float(mean), abs=5 * math.sqrt(variance / count))
    spread = variance * math.sqrt((float(excess) + 2) / count)
    assert image.var() == pytest.approx(float(variance), abs=5 * spread)


def test_noise_is_white():
    noise = reconstruct(np.zeros((64, 64)), (64, 64), 1.0, np.random.default_rng(3))
    neighbours = np.vdot(noise[1:], noise[:-1]) / np.vdot(noise, noise)
    assert abs(neighbours) < 5 / 64
    channels = np.corrcoef(noise.real.ravel(), noise.imag.ravel())[0, 1]
    assert abs(channels) < 5 / 64


def test_the_snr_ratio_of_two_scans_is_that_of_physics():
    assert snr_ratio(DEFAULT_SCAN, FAST_SCAN) == pytest.approx(math.sqrt(5) / 2)
    # Volume times the root of averages times encodings times read-out samples.
    volumes = (1 / 300**2) / (1 / 150**2)
    samples = (5 * 300 * 300) / (1 * 150 * 150)
    assert snr_ratio(DEFAULT_SCAN, FAST_SCAN) == pytest.approx(volumes * math.sqrt(samples))
    fast, default = Acquisition((75, 75), 1), Acquisition((150, 150), 5)
    std = sample_noise_std(1.0, 20.0, default)
    rng = np.random.default_rng(4)
    snr = []
    for scan in (default, fast):
        noise = reconstruct(np.ones((150, 150)), scan.matrix, std / math.sqrt(scan.averages), rng)
        snr.append(1 / noise.real.std())
    for measured, expected, size in zip(snr, (20.0, 20 / 1.118034), (150, 75), strict=True):
        assert measured == pytest.approx(expected, rel=5 / math.sqrt(2) / size)


def test_the_object_s_phase_changes_nothing_but_the_phase():
    smooth = blob(64) * np.exp(1j * np.pi / 3)
    np.testing.assert_allclose(
        np.abs(reconstruct(smooth, (32, 32))), np.abs(reconstruct(blob(64), (32, 32))), atol=1e-12
    )


def test_one_seed_gives_one_image():
    image = blob(32).astype(np.complex64)
    first, again, other = (
        acquire(image, Acquisition((16, 16)), 0.01, np.random.default_rng(seed))
        for seed in (5, 5, 6)
    )
    assert first.dtype == np.float32
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_partner_of_a_stack_has_the_noise_that_was_asked_for():
    rng = np.random.default_rng(7)
    clean, sigma = 100.0, 4.0
    high = np.full((128, 128, 4), clean)
    noisy = np.abs(high + sigma * (rng.standard_normal(high.shape) + 0j))
    target = sigma / snr_ratio(FAST_SCAN, DEFAULT_SCAN)
    low = simulate_low_resolution(noisy, target, rng, high_noise_std=sigma)
    assert low.shape == (64, 64, 4)
    assert low.dtype == np.float32
    assert low.std() == pytest.approx(target, rel=5 / math.sqrt(2 * low.size))
    np.testing.assert_allclose(
        simulate_low_resolution(blob(64)[..., None], 0.0, rng)[..., 0],
        np.abs(reconstruct(blob(64), (32, 32))),
        atol=1e-6,
    )


def test_wrong_arguments_are_named():
    rng = np.random.default_rng(0)
    image = np.ones((8, 8))
    with pytest.raises(ValueError, match="matrix must be at most"):
        reconstruct(image, (16, 8))
    with pytest.raises(ValueError, match="noise_std must be 0"):
        reconstruct(image, (4, 4), 1.0)
    with pytest.raises(ValueError, match="averages must be at least 1"):
        Acquisition((4, 4), 0)
    with pytest.raises(ValueError, match="matrix must be positive"):
        Acquisition((0, 4))
    with pytest.raises(ValueError, match="signal and snr must be positive"):
        sample_noise_std(1.0, 0.0, FAST_SCAN)
    with pytest.raises(ValueError, match="high must be"):
        simulate_low_resolution(np.ones((7, 8, 2)), 1.0, rng)
    with pytest.raises(ValueError, match="noise_std must be at least"):
        simulate_low_resolution(np.ones((8, 8, 2)), 1.0, rng, high_noise_std=4.0)
