import math

import numpy as np
import pytest
import torch
from noisy_images import pair

from custom.metrics.image_pairs import data_range_of, foreground, mean_of_each
from custom.metrics.psnr import PSNR, peak_signal_to_noise_ratio
from custom.metrics.ssim import SSIM, structural_similarity

SHAPES = [(3, 1, 37, 52), (3, 1, 13, 16, 15)]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_range_follows_from_the_rule_and_the_mask(shape):
    noisy, _ = pair(shape)
    mask = torch.zeros(shape, dtype=torch.bool)
    mask[:, :, 3:9, 2:12] = True
    for region in (None, mask):
        values = [
            (image if region is None else image[region[i]]).double().numpy().ravel()
            for i, image in enumerate(noisy)
        ]
        found = data_range_of(noisy, mask=region)
        assert found.tolist() == pytest.approx([np.ptp(value) for value in values], rel=1e-6)
        # Clipped to percentiles, the largest and the smallest value are these.
        clipped = [np.ptp(np.clip(v, *np.percentile(v, (1, 95)))) for v in values]
        assert data_range_of(noisy, (1, 95), region).tolist() == pytest.approx(clipped, rel=1e-6)
        assert max(clipped) < 0.95 * max(np.ptp(value) for value in values)
    assert data_range_of(noisy, 4095).tolist() == [4095] * 3


def test_means_over_masks_that_differ():
    values = torch.arange(24.0).reshape(2, 1, 3, 4)
    mask = torch.zeros(values.shape, dtype=torch.bool)
    mask[0, 0, 0, :2] = mask[1, 0, 2, 1] = True
    assert mean_of_each(values, mask).tolist() == [0.5, 21.0]
    assert mean_of_each(values).tolist() == [5.5, 17.5]
    values[0, 0, 1] = math.inf  # outside of the mask
    assert mean_of_each(values, mask).tolist() == [0.5, 21.0]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("metric", "measure"), [(PSNR, peak_signal_to_noise_ratio), (SSIM, structural_similarity)]
)
def test_a_metric_is_the_mean_over_images_of_several_steps(metric, measure, shape):
    noisy, clean = pair(shape)
    for rule in ("max - min", (2, 98), 7.0):
        found = metric(rule)
        found(noisy[:2], clean[:2])
        found([noisy[2]], [clean[2]])  # as the evaluator hands over a batch it has split
        expected = measure(noisy, clean, data_range_of(clean, rule)).mean()
        assert float(found.aggregate()) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_an_equal_and_a_constant_image_do_not_spoil_the_mean(shape):
    noisy, clean = pair(shape)
    psnr, ssim = PSNR(), SSIM()
    alone = psnr(noisy[:1], clean[:1]), ssim(noisy[:1], clean[:1])
    predicted = torch.cat([noisy[:1], clean[1:2], noisy[2:]])
    reference = torch.cat([clean[:2], torch.full_like(clean[2:], 4.0)])
    for metric in (psnr, ssim):
        metric.reset()
        metric(predicted, reference)
    assert psnr.get_buffer().isnan().flatten().tolist() == [False, True, True]
    assert ssim.get_buffer().isnan().flatten().tolist() == [False, False, True]
    assert float(psnr.aggregate()) == pytest.approx(float(alone[0]))
    assert float(ssim.aggregate()) == pytest.approx((float(alone[1]) + 1) / 2)


def test_what_is_no_rule_or_mask_is_refused():
    noisy, clean = pair()
    for rule in ((50, 50), (98, 2), (-1, 99), (1, 2, 3)):
        with pytest.raises(ValueError, match="rule"):
            data_range_of(noisy, rule)
    empty = torch.ones(noisy.shape, dtype=torch.bool)
    empty[1] = False
    for mask in (empty, empty[:, :, 1:]):
        with pytest.raises(ValueError, match="mask"):
            mean_of_each(noisy, mask)
    with pytest.raises(ValueError, match="rule"):
        PSNR((0, 101))(noisy, clean)


def test_one_hot_voxel_is_not_the_only_foreground():
    reference = torch.rand(1, 1, 20, 20) + 0.5
    reference[0, 0, 3, 3], reference[0, 0, 4, 4] = 1e4, -1e4
    assert foreground(reference.numpy()).mean() > 0.3


def test_a_range_up_to_1_does_not_count_what_is_brighter():
    images = torch.tensor([[-0.25, 0.5, 0.9], [0.1, 0.7, 4.0]]).reshape(2, 1, 1, 3)
    found = data_range_of(images, "max - min up to 1")
    torch.testing.assert_close(found, torch.tensor([1.15, 0.9]))
