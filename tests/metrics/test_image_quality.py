import math

import numpy as np
import pytest
import torch
from skimage.metrics import (
    mean_squared_error as reference_mse,
)
from skimage.metrics import (
    peak_signal_noise_ratio as reference_psnr,
)
from skimage.metrics import (
    structural_similarity as reference_ssim,
)

from custom.metrics.image_quality import (
    SlicePSNR,
    SliceSSIM,
    mean_squared_error,
    peak_signal_to_noise_ratio,
    structural_similarity,
    value_range,
)


def pair(shape=(3, 1, 37, 52), gain=1.0, seed=0):
    """Smooth slices with edges, and noisy versions of them."""
    random = torch.Generator().manual_seed(seed)
    x, y = torch.meshgrid(
        torch.linspace(0, 3, shape[2]), torch.linspace(0, 4, shape[3]), indexing="ij"
    )
    clean = (torch.sin(x * y) + (x > 1) + 1.5).expand(shape) * torch.tensor(
        [1.0, 2.5, 0.3]
    ).reshape(3, 1, 1, 1)
    noisy = clean + 0.2 * torch.randn(shape, generator=random)
    return gain * noisy, gain * clean


def skimage_ssim(one, other, width):
    return reference_ssim(
        one[0].numpy().astype(np.float64),
        other[0].numpy().astype(np.float64),
        data_range=width,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )


@pytest.mark.parametrize("gain", [1.0, 3e4, 1e-3])
def test_scikit_image_agrees_slice_by_slice_whatever_the_units(gain):
    noisy, clean = pair(gain=gain)
    ranges = value_range(clean)
    error = mean_squared_error(noisy, clean)
    psnr = peak_signal_to_noise_ratio(noisy, clean, ranges)
    ssim = structural_similarity(noisy, clean, ranges)
    for i, (one, other) in enumerate(zip(noisy, clean, strict=True)):
        width = float(other.max() - other.min())
        assert float(ranges[i]) == pytest.approx(width)
        arrays = other[0].double().numpy(), one[0].double().numpy()
        assert float(error[i]) == pytest.approx(reference_mse(*arrays), rel=1e-9)
        assert float(psnr[i]) == pytest.approx(reference_psnr(*arrays, data_range=width), abs=1e-5)
        assert float(ssim[i]) == pytest.approx(skimage_ssim(one, other, width), abs=1e-5)


def test_the_given_range_counts_and_not_that_of_the_slice():
    noisy, clean = pair()
    width = 7.5
    psnr = peak_signal_to_noise_ratio(noisy, clean, width)
    expected = 10 * torch.log10(
        width**2 / (noisy.double() - clean.double()).square().mean((1, 2, 3))
    )
    torch.testing.assert_close(psnr, expected)
    ssim = structural_similarity(noisy, clean, width)
    assert float(ssim[1]) == pytest.approx(skimage_ssim(noisy[1], clean[1], width), abs=1e-5)


def test_slices_of_a_batch_do_not_mix():
    noisy, clean = pair()
    ranges = value_range(clean)
    for measure in (peak_signal_to_noise_ratio, structural_similarity):
        together = measure(noisy, clean, ranges)
        alone = [measure(noisy[i : i + 1], clean[i : i + 1], ranges[i : i + 1]) for i in range(3)]
        torch.testing.assert_close(together, torch.cat(alone))


def test_equal_slices_are_infinite_in_psnr_and_one_in_ssim():
    _, clean = pair()
    assert torch.isinf(peak_signal_to_noise_ratio(clean, clean, 1.0)).all()
    torch.testing.assert_close(structural_similarity(clean, clean, 1.0), torch.ones(3))


@pytest.mark.parametrize("metric_class", [SlicePSNR, SliceSSIM])
def test_a_metric_is_the_mean_over_slices_of_several_steps(metric_class):
    noisy, clean = pair()
    metric = metric_class()
    metric(noisy[:2], clean[:2])
    metric([noisy[2]], [clean[2]])  # as the evaluator hands over a batch it has split
    measure = {SlicePSNR: peak_signal_to_noise_ratio, SliceSSIM: structural_similarity}
    expected = measure[metric_class](noisy, clean, value_range(clean)).mean()
    assert float(metric.aggregate()) == pytest.approx(float(expected), rel=1e-5)


def test_an_equal_and_a_constant_slice_do_not_spoil_the_mean():
    noisy, clean = pair()
    psnr, ssim = SlicePSNR(), SliceSSIM()
    alone = psnr(noisy[:1], clean[:1]), ssim(noisy[:1], clean[:1])
    predicted = torch.cat([noisy[:1], clean[1:2], noisy[2:]])
    reference = torch.cat([clean[:2], torch.full_like(clean[2:], 4.0)])
    for metric in (psnr, ssim):
        metric.reset()
        metric(predicted, reference)
    assert float(psnr.aggregate()) == pytest.approx(float(alone[0]))
    assert float(ssim.aggregate()) == pytest.approx((float(alone[1]) + 1) / 2)


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
        ((1, 1, 10, 30), (1, 1, 10, 30), 1.0, "at least 11 x 11"),
        ((1, 1, 12, 12), (1, 1, 12, 12), 0.0, "data_range"),
        ((1, 1, 12, 12), (1, 1, 12, 12), math.nan, "data_range"),
    ],
)
def test_what_cannot_be_measured_is_refused(predicted, reference, width, word):
    with pytest.raises(ValueError, match=word):
        structural_similarity(torch.rand(predicted), torch.rand(reference), width)
