import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.metrics.regression import compute_ssim_and_cs
from skimage.metrics import normalized_root_mse, peak_signal_noise_ratio

from custom.metrics.volume_quality import (
    central_spectrum,
    central_spectrum_error,
    foreground,
    root_mean_square_error,
    signal_to_noise_ratio,
    similarity_map,
    slice_distance,
    spectrum_band,
    value_range,
)


def pair(shape=(13, 16, 15), seed=0):
    random = np.random.default_rng(seed)
    reference = random.random(shape)
    return reference + 0.1 * random.standard_normal(shape), reference


def test_psnr_and_nrmse_are_those_of_scikit_image():
    predicted, reference = pair()
    width = value_range(reference)
    expected = peak_signal_noise_ratio(reference, predicted, data_range=width)
    assert signal_to_noise_ratio(predicted, reference, width) == pytest.approx(expected, rel=1e-12)
    expected = normalized_root_mse(reference, predicted, normalization="euclidean")
    assert root_mean_square_error(predicted, reference) == pytest.approx(expected, rel=1e-12)
    assert width == pytest.approx(reference.max() - reference.min())


def test_psnr_of_a_known_error_in_a_region():
    reference = np.zeros((4, 4, 4))
    reference[0, 0, 0] = 2.0
    predicted = reference.copy()
    mask = np.zeros(reference.shape, bool)
    mask[1] = True
    predicted[1] += 0.2  # inside; error 0.04, 20 log10(2 / 0.2) = 20 dB
    predicted[2] += 9.0  # outside
    assert signal_to_noise_ratio(predicted, reference, 2.0, mask) == pytest.approx(20)
    assert signal_to_noise_ratio(reference, reference, 2.0) == float("inf")


@settings(max_examples=5, deadline=None)
@given(st.tuples(*[st.integers(11, 17)] * 3), st.integers(0, 99))
def test_ssim_is_that_of_monai(shape, seed):
    # Volumes that have nothing in common, and a wide range: the constants of the formula count.
    (_, predicted), (_, reference) = pair(shape, seed), pair(shape, seed + 1)
    width = 8 * value_range(reference)
    expected, _ = compute_ssim_and_cs(
        torch.from_numpy(predicted)[None, None],
        torch.from_numpy(reference)[None, None],
        spatial_dims=3,
        kernel_size=(11, 11, 11),
        kernel_sigma=(1.5, 1.5, 1.5),
        data_range=width,
    )
    found = similarity_map(predicted, reference, width)
    np.testing.assert_allclose(
        found, expected[0, 0].numpy(), rtol=0, atol=2e-5
    )  # MONAI: single precision


def test_ssim_without_contrast_is_the_luminance_term():
    # Constant a against constant b: (2ab + C1) / (a^2 + b^2 + C1), C1 = (0.01 R)^2.
    a, b, width = 2.0, 3.0, 4.0
    found = similarity_map(np.full((11, 12, 11), a), np.full((11, 12, 11), b), width)
    c1 = (0.01 * width) ** 2
    assert found.shape == (1, 2, 1)
    np.testing.assert_allclose(found, (2 * a * b + c1) / (a**2 + b**2 + c1), rtol=1e-9)


def test_the_measures_do_not_depend_on_the_unit():
    predicted, reference = pair()
    width = value_range(reference)
    for unit in (1e-3, 250.0):
        scaled = (unit * predicted, unit * reference, unit * width)
        assert signal_to_noise_ratio(*scaled) == pytest.approx(
            signal_to_noise_ratio(predicted, reference, width), rel=1e-9
        )
        np.testing.assert_allclose(
            similarity_map(*scaled), similarity_map(predicted, reference, width), atol=1e-9
        )


def test_a_wave_lies_where_its_frequency_says():
    length, frequency = 12, 3
    wave = np.cos(2 * np.pi * frequency * np.arange(length) / length)
    volume = np.broadcast_to(wave[:, None, None], (length, 8, 10)).copy()
    spectrum = central_spectrum(volume, (8, 4, 5))
    # Half of the wave at plus and minus 3, times the root of the number of voxels.
    expected = np.zeros((8, 4, 5))
    expected[4 - 3, 2, 2] = expected[4 + 3, 2, 2] = 0.5 * np.sqrt(volume.size)
    np.testing.assert_allclose(spectrum, expected, atol=1e-9)


def test_the_whole_spectrum_is_parsevals():
    predicted, reference = pair()
    found = central_spectrum_error(predicted, reference, reference.shape)
    assert found == pytest.approx(root_mean_square_error(predicted, reference), rel=1e-9)


def test_what_is_beyond_the_centre_does_not_count():
    _, reference = pair((16, 16, 16))
    checkerboard = (-1.0) ** np.indices(reference.shape).sum(0)  # the highest frequency
    assert central_spectrum_error(reference + checkerboard, reference, (8, 8, 8)) < 1e-12
    assert central_spectrum_error(1.1 * reference, reference, (8, 8, 8)) == pytest.approx(0.1)


def test_the_band_is_within_the_coarse_grid():
    assert spectrum_band((256, 99, 40)) == (50, 49, 20)
    assert spectrum_band((256, 256, 256), most=30) == (30, 30, 30)


def test_the_foreground_is_the_bright_class():
    random = np.random.default_rng(0)
    volume = 0.1 * random.random((9, 9, 9))
    volume[2:6] += 1
    found = foreground(volume)
    assert found[2:6].all()
    assert not found[:2].any()
    assert not found[6:].any()


def test_slices_with_something_in_them_are_averaged():
    reference = np.zeros((4, 5, 19))
    reference[0, 0, 2:19] = np.arange(1, 18)
    predicted = reference + 0.5 * np.arange(19)

    def distance(first, second, width):
        assert first.shape == second.shape == (len(width), 1, 4, 5)
        return (first - second).abs().mean((1, 2, 3)) / width

    found = slice_distance(predicted, reference, 2.0, distance)
    assert found == pytest.approx(0.5 * np.mean(np.arange(2, 19)) / 2.0)


def test_wrong_arguments_are_refused():
    predicted, reference = pair()
    for measure in (root_mean_square_error, lambda a, b: similarity_map(a, b, 1.0)):
        with pytest.raises(ValueError, match="one shape"):
            measure(predicted[1:], reference)
    with pytest.raises(ValueError, match="data_range"):
        signal_to_noise_ratio(predicted, reference, 0.0)
    with pytest.raises(ValueError, match="mask"):
        signal_to_noise_ratio(predicted, reference, 1.0, np.zeros(reference.shape, bool))
    with pytest.raises(ValueError, match="11 voxels"):
        similarity_map(predicted[:10], reference[:10], 1.0)
    with pytest.raises(ValueError, match="band"):
        central_spectrum(reference, (14, 1, 1))
    with pytest.raises(ValueError, match="reference"):
        root_mean_square_error(reference, 0 * reference)
    with pytest.raises(ValueError, match="constant"):
        foreground(np.ones((3, 3, 3)))
    with pytest.raises(ValueError, match="every slice"):
        slice_distance(predicted, np.ones_like(reference), 1.0, lambda *_: torch.zeros(1))
