import numpy as np
import pytest
from scipy import ndimage, stats

from custom.metrics.slice_quality import (
    Tissue,
    entropy_focus,
    find_tissue,
    ghosting_ratio,
    gradient_focus,
    local_outlier_scores,
    measure_stack,
    neighbour_correlation,
    noise_deviation,
    signal_level,
)

SHAPE = (160, 128)
DISC = np.hypot(*np.meshgrid(np.arange(160) - 80, np.arange(128) - 64, indexing="ij")) < 30


def magnitude(signal, sigma, seed=0):
    rng = np.random.default_rng(seed)
    return np.abs(signal + sigma * (rng.normal(size=SHAPE) + 1j * rng.normal(size=SHAPE)))


@pytest.mark.parametrize("snr", [4.0, 10.0, 40.0])
@pytest.mark.parametrize("sigma", [1.0, 250.0])
def test_snr_of_a_known_phantom(snr, sigma):
    image = magnitude(snr * sigma * DISC, sigma)
    measured = measure_stack(image[..., None])[0].snr
    tissue = find_tissue(image)
    # Signal: variance of a mean of N magnitudes; noise: variance of a Rayleigh sample's median,
    # 1 / (4 f(median)^2 N) with f(median) = sqrt(ln 2 / 2) / sigma, so 1 / (2 ln 2)^2 relative.
    signal_error = 1 / np.sqrt(tissue.inside.sum())
    noise_error = snr / (2 * np.log(2) * np.sqrt(tissue.air.sum()))
    assert abs(measured - snr) < 5 * np.hypot(signal_error, noise_error)


def test_rician_signal_is_freed_of_its_bias():
    signal, n = 1.5, 400_000
    rng = np.random.default_rng(1)
    values = np.abs(signal + rng.normal(size=n) + 1j * rng.normal(size=n))
    # Var m^2 = 4 A^2 + 4 for unit sigma; the root's derivative is 1 / 2A.
    error = np.sqrt((4 * signal**2 + 4) / n) / (2 * signal)
    assert abs(signal_level(values, 1.0) - signal) < 5 * error
    assert values.mean() - signal > 20 * error


def test_noise_hardly_moves_with_a_ghost_in_the_air():
    rng = np.random.default_rng(2)
    air = rng.rayleigh(3.0, 20_000)
    air[:1000] += 30
    assert abs(noise_deviation(air) / 3 - 1) < 0.05
    assert abs(np.sqrt(np.mean(air**2) / 2) / 3 - 1) > 1
    assert np.isnan(noise_deviation(air[:10]))


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("strength", [0.05, 0.2])
def test_a_planted_ghost_is_recovered(axis, strength):
    body = np.zeros((160, 160))
    body[60:100, 60:100] = 100.0
    # A ghost of the body's size at both ends of its axis: complex addition, then noise.
    ghost = strength * (np.roll(body, 60, axis) + np.roll(body, -60, axis))
    rng = np.random.default_rng(3)
    image = np.abs(body + ghost + rng.normal(size=body.shape) + 1j * rng.normal(size=body.shape))
    tissue = find_tissue(image)
    along = tissue.air & tissue.body.any(axis=axis, keepdims=True)
    band = along & ~tissue.body.any(axis=1 - axis, keepdims=True)
    covered = np.mean(ghost[band] > 0)
    expected = strength * np.sqrt(covered)
    power = expected * 100
    # The mean square of the band varies by sqrt((4 power^2 + 4) / N), in both bands' difference.
    error = np.sqrt((4 * power**2 + 8) / band.sum()) / (2 * power) / 100
    for phase_axis in (axis, None):
        assert abs(ghosting_ratio(image, tissue, phase_axis) - expected) < 5 * error
    assert ghosting_ratio(image, tissue, 1 - axis) == 0


def test_a_body_from_edge_to_edge_is_compared_with_noise():
    body = np.zeros((160, 160))
    body[:, 60:100] = 100.0
    ghost = 0.1 * np.roll(body, 50, 1)
    noise = np.random.default_rng(8).normal(size=(2, *body.shape))
    image = np.hypot(body + ghost + noise[0], noise[1])
    tissue = find_tissue(image)
    covered = np.mean(ghost[tissue.air] > 0)
    assert ghosting_ratio(image, tissue, 1) == pytest.approx(0.1 * np.sqrt(covered), rel=0.05)
    assert np.isnan(ghosting_ratio(image, tissue, 0))


def test_noise_alone_is_hardly_a_ghost():
    image = magnitude(50.0 * DISC, 1.0)
    assert ghosting_ratio(image, find_tissue(image)) < 0.02


def test_gradient_focus_of_a_wave():
    x = np.arange(100)[:, None] + np.zeros((1, 50))
    step = 2 * np.pi / 10
    wave = 10 * (1 + 0.5 * np.sin(step * x))
    inner = np.zeros(wave.shape, bool)
    inner[5:95] = True  # whole periods
    # A central difference turns sin into sin(step) cos.
    expected = (5 * np.sin(step)) ** 2 / 2 / (100 * (1 + 0.125))
    assert gradient_focus(wave, inner) == pytest.approx(expected)
    assert gradient_focus(7 * wave, inner) == pytest.approx(expected)
    rng = np.random.default_rng(4)
    sigma = 0.4
    values = [gradient_focus(wave + sigma * rng.normal(size=wave.shape), inner) for _ in range(20)]
    freed = [
        gradient_focus(
            np.abs(wave + sigma * (rng.normal(size=wave.shape) + 1j * rng.normal(size=wave.shape))),
            inner,
            sigma,
        )
        for _ in range(20)
    ]
    error = np.std(freed) / np.sqrt(20)
    assert abs(np.mean(freed) - expected) < 5 * error
    assert np.mean(values) - expected > 5 * error


def test_entropy_focus_at_its_ends():
    image = np.zeros((8, 6))
    image[2, 3] = 5
    assert entropy_focus(image) == pytest.approx(0)
    assert entropy_focus(np.full((8, 6), 7.0)) == pytest.approx(1)
    image[:4] = 5  # half of the voxels alike: k shares of 1/sqrt(k)
    count = 24
    expected = np.sqrt(count) * np.log(np.sqrt(count)) / (np.sqrt(48) * np.log(np.sqrt(48)))
    assert entropy_focus(image) == pytest.approx(expected)
    assert np.isnan(entropy_focus(np.zeros((4, 4))))


def textured_stack(slices=11):
    rng = np.random.default_rng(5)
    pattern = ndimage.gaussian_filter(rng.normal(size=(*SHAPE, slices)), (2, 2, 3))
    return np.maximum(DISC[..., None] * 100 * (1 + 2 * pattern / np.abs(pattern).max()), 0)


def with_motion(image, every=4, shift=6):
    """Every n-th k-space line comes from a shifted body, as when an animal breathes."""
    still, moved = np.fft.fft2(image), np.fft.fft2(np.roll(image, shift, axis=1))
    still[:, ::every] = moved[:, ::every]
    return np.abs(np.fft.ifft2(still))


def test_blur_and_motion_rank_worse_than_the_sharp_slice():
    stack = textured_stack()
    noise = np.random.default_rng(6).normal(0, 1, (2, *stack.shape))
    sharp = measure_stack(np.hypot(stack + noise[0], noise[1]), 1)[5]
    spoilt = {}
    for name, change in {
        "blur": lambda image: ndimage.gaussian_filter(image, 2),
        "motion": with_motion,
    }.items():
        worse = stack.copy()
        worse[..., 5] = change(worse[..., 5])
        spoilt[name] = measure_stack(np.hypot(worse + noise[0], noise[1]), 1)[5]
    assert spoilt["blur"].focus < 0.5 * sharp.focus
    assert spoilt["motion"].entropy > 1.02 * sharp.entropy
    assert spoilt["motion"].ghosting > 3 * sharp.ghosting + 0.02
    assert spoilt["motion"].correlation < sharp.correlation


def test_correlation_with_neighbours():
    rng = np.random.default_rng(7)
    image = rng.random((20, 20))
    stack = np.stack([image, 3 * image + 1, 5 - image], axis=-1)
    assert neighbour_correlation(stack, 0) == pytest.approx(1)
    assert neighbour_correlation(stack, 1) == pytest.approx(1)
    assert neighbour_correlation(stack, 2) == pytest.approx(-1)
    assert np.isnan(neighbour_correlation(stack[..., :1], 0))


def test_an_outlier_stands_out_of_a_slow_change():
    values = np.linspace(10, 20, 21)
    values[7] -= 6
    scores = local_outlier_scores(values)
    assert np.argmin(scores) == 7
    assert scores[7] < -5
    assert np.abs(np.delete(scores, 7)).max() < 5
    assert not local_outlier_scores(np.full(5, 3.0)).any()
    assert not local_outlier_scores(np.array([np.nan, np.nan])).any()
    assert local_outlier_scores(np.array([1.0])) == [0]


def test_scores_are_in_robust_standard_deviations_of_the_differences():
    # Far more scatter than the least that is believed.
    values = 100 + 10 * np.random.default_rng(9).normal(size=50)
    near = [np.r_[values[max(i - 2, 0) : i], values[i + 1 : i + 3]] for i in range(50)]
    differences = values - [np.median(part) for part in near]
    expected = differences / stats.median_abs_deviation(differences, scale="normal")
    np.testing.assert_allclose(local_outlier_scores(values), expected, rtol=1e-5)


@pytest.mark.parametrize("value", [0.0, 5.0])
def test_a_constant_slice_gives_nan_and_no_error(value):
    quality = measure_stack(np.full((*SHAPE, 1), value))[0]
    assert np.isnan([quality.snr, quality.ghosting, quality.focus, quality.correlation]).all()


def test_air_that_was_set_to_zero_gives_no_snr():
    quality = measure_stack(textured_stack(3))[1]
    assert np.isnan(quality.snr)
    assert np.isnan(quality.ghosting)
    assert quality.focus > 0


def test_masks_of_a_disc():
    tissue = find_tissue(magnitude(20.0 * DISC, 1.0))
    assert isinstance(tissue, Tissue)
    assert not (tissue.inside & ~DISC).any()
    assert not (tissue.air & DISC).any()
    assert not (tissue.air & tissue.body).any()
    assert tissue.inside.sum() > 0.7 * DISC.sum()
    assert tissue.air.sum() > 0.9 * (~DISC).sum() - 200 * np.pi


def test_one_hot_voxel_hides_no_tissue():
    stack = np.stack([magnitude(20.0 * DISC, 1.0, seed) for seed in range(3)], -1)
    hot = stack.copy()
    hot[80, 64, 1] = 200_000
    for measured, expected in zip(measure_stack(hot), measure_stack(stack), strict=True):
        assert measured.snr == pytest.approx(expected.snr, rel=0.01)
        assert measured.correlation == pytest.approx(expected.correlation, rel=0.05)
