"""The validation's metrics of volumes against closed forms and scikit-image."""

from __future__ import annotations

import math

import pytest
import torch
from skimage.metrics import structural_similarity

from custom.metrics.volume_metrics import VolumePSNR, VolumeSSIM


def test_psnr_of_a_known_error_with_the_range_of_each_reference() -> None:
    reference = torch.zeros(2, 1, 4, 5, 6)
    reference[0, 0, 0, 0, 0], reference[1, 0, 0, 0, 0] = 2.0, 20.0
    metric = VolumePSNR()
    metric(reference + 0.1, reference)
    values = [10 * math.log10(top**2 / 0.01) for top in (2.0, 20.0)]
    assert metric.get_buffer().flatten().tolist() == pytest.approx(values, rel=1e-5)
    assert metric.aggregate().item() == pytest.approx(sum(values) / 2, rel=1e-5)


def test_equal_volumes_and_constant_references_are_left_out() -> None:
    reference = torch.rand(3, 1, 12, 12, 12, generator=torch.Generator().manual_seed(0))
    reference[1] = 1.0
    predicted = reference + 0.1
    predicted[0] = reference[0]
    metric = VolumePSNR()
    metric(predicted, reference)
    assert metric.get_buffer().isnan().flatten().tolist() == [True, True, False]
    assert math.isfinite(metric.aggregate().item())


def test_ssim_is_that_of_scikit_image_away_from_the_border() -> None:
    generator = torch.Generator().manual_seed(1)
    reference = torch.rand(1, 1, 13, 14, 15, generator=generator)
    predicted = reference + 0.2 * torch.rand(1, 1, 13, 14, 15, generator=generator)
    metric = VolumeSSIM()
    metric(predicted, reference)
    pair = [volume[0, 0].double().numpy() for volume in (predicted, reference)]
    _, whole = structural_similarity(
        *pair,
        data_range=pair[1].max() - pair[1].min(),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    expected = whole[5:-5, 5:-5, 5:-5].mean()
    assert metric.aggregate().item() == pytest.approx(expected, rel=1e-6)
