import numpy as np
import pytest
import torch
from noisy_images import pair
from skimage import metrics

from custom.metrics.image_pairs import data_range_of
from custom.metrics.psnr import mean_squared_error, normalised_error, peak_signal_to_noise_ratio

SHAPES = [(3, 1, 37, 52), (3, 1, 13, 16, 15)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("gain", [1.0, 3e4, 1e-3])
def test_scikit_image_agrees_image_by_image_whatever_the_units(shape, gain):
    noisy, clean = pair(shape, gain)
    ranges = data_range_of(clean)
    error = mean_squared_error(noisy, clean)
    psnr = peak_signal_to_noise_ratio(noisy, clean, ranges)
    nrmse = normalised_error(noisy, clean)
    for i, (one, other) in enumerate(zip(noisy, clean, strict=True)):
        truth, found = (image[0].double().numpy() for image in (other, one))
        width = float(ranges[i])
        expected = metrics.peak_signal_noise_ratio(truth, found, data_range=width)
        assert float(psnr[i]) == pytest.approx(expected, rel=1e-12)
        assert float(error[i]) == pytest.approx(metrics.mean_squared_error(truth, found), rel=1e-12)
        expected = metrics.normalized_root_mse(truth, found, normalization="euclidean")
        assert float(nrmse[i]) == pytest.approx(expected, rel=1e-12)


def test_psnr_of_a_known_error_in_a_region():
    reference = torch.zeros(1, 1, 4, 4, 4)
    reference[..., 0, 0, 0] = 2.0
    predicted = reference.clone()
    mask = torch.zeros(reference.shape, dtype=torch.bool)
    mask[:, :, 1] = True
    predicted[:, :, 1] += 0.2  # inside; error 0.04, 20 log10(2 / 0.2) = 20 dB
    predicted[:, :, 2] += 9.0  # outside
    assert float(peak_signal_to_noise_ratio(predicted, reference, 2.0, mask)) == pytest.approx(20)
    reference[:, :, 1] = 0.4
    assert float(normalised_error(predicted, reference, mask)) == pytest.approx(0.5)
    assert torch.isinf(peak_signal_to_noise_ratio(reference, reference, 2.0)).all()


def test_a_range_an_image_counts_for_its_own():
    noisy, clean = pair()
    ranges = torch.tensor([1.0, 10.0, 100.0])
    psnr = peak_signal_to_noise_ratio(noisy, clean, ranges)
    first = peak_signal_to_noise_ratio(noisy, clean, 1.0)
    np.testing.assert_allclose(psnr - first, [0, 20, 40], atol=1e-9)


def test_half_precision_is_measured_in_double():
    reference = torch.full((1, 1, 12, 12), 2048.0, dtype=torch.float16)
    predicted = reference.clone()
    predicted[..., 0, 0] += 2
    assert float(mean_squared_error(predicted, reference)) == pytest.approx(4 / 144, rel=1e-12)


@pytest.mark.parametrize(
    ("predicted", "reference", "width", "word"),
    [
        ((1, 1, 12, 12), (1, 1, 12, 13), 1.0, "same shape"),
        ((1, 2, 12, 12), (1, 2, 12, 12), 1.0, r"\(B, 1, H, W\)"),
        ((1, 1, 12), (1, 1, 12), 1.0, r"\(B, 1, H, W\)"),
        ((1, 1, 12, 12), (1, 1, 12, 12), 0.0, "data_range"),
        ((1, 1, 12, 12), (1, 1, 12, 12), float("nan"), "data_range"),
    ],
)
def test_what_cannot_be_measured_is_refused(predicted, reference, width, word):
    with pytest.raises(ValueError, match=word):
        peak_signal_to_noise_ratio(torch.rand(predicted), torch.rand(reference), width)


def test_no_error_is_relative_to_an_empty_reference():
    with pytest.raises(ValueError, match="reference"):
        normalised_error(torch.ones(1, 1, 3, 3), torch.zeros(1, 1, 3, 3))
