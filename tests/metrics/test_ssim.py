import numpy as np
import pytest
import torch
from monai.metrics.regression import compute_ssim_and_cs
from noisy_images import pair
from skimage.metrics import structural_similarity as of_scikit_image

from custom.metrics.image_pairs import data_range_of
from custom.metrics.ssim import global_similarity, similarity_map, structural_similarity

SHAPES = [(3, 1, 37, 52), (2, 1, 13, 16, 15)]


def reference_map(one, other, width):
    """Scikit-image's map, where the window lies inside."""
    _, whole = of_scikit_image(
        one[0].double().numpy(),
        other[0].double().numpy(),
        data_range=width,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    return whole[(slice(5, -5),) * whole.ndim]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("gain", [1.0, 3e4, 1e-3])
def test_scikit_image_agrees_image_by_image_whatever_the_units(shape, gain):
    noisy, clean = pair(shape, gain)
    for ranges in (data_range_of(clean), torch.full((shape[0],), 7.5 * gain)):
        found = similarity_map(noisy, clean, ranges)
        means = structural_similarity(noisy, clean, ranges)
        for i in range(shape[0]):
            expected = reference_map(noisy[i], clean[i], float(ranges[i]))
            single = len(shape) == 4  # MONAI computes in single precision
            np.testing.assert_allclose(found[i, 0], expected, atol=1e-3 if single else 1e-9)
            assert float(means[i]) == pytest.approx(expected.mean(), abs=2e-5 if single else 1e-9)


def test_volumes_agree_with_monai_where_the_constants_count():
    # Volumes that have nothing in common, and a wide range.
    (_, predicted), (reference, _) = pair(SHAPES[1]), pair(SHAPES[1], seed=1)
    width = 8 * float(data_range_of(reference).max())
    expected, _ = compute_ssim_and_cs(
        predicted.flip(2).double(),
        reference.double(),
        spatial_dims=3,
        kernel_size=(11, 11, 11),
        kernel_sigma=(1.5, 1.5, 1.5),
        data_range=width,
    )
    found = similarity_map(predicted.flip(2), reference, width)
    np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize("shape", [(1, 1, 11, 12), (1, 1, 11, 12, 11)])
def test_without_contrast_it_is_the_luminance_term(shape):
    # Constant a against constant b: (2ab + C1) / (a^2 + b^2 + C1), C1 = (0.01 R)^2.
    # A range so wide that C1 counts: without it the term would be 0.923 in place of 0.991.
    a, b, width = 2.0, 3.0, 1000.0
    found = similarity_map(torch.full(shape, a), torch.full(shape, b), width)
    c1 = (0.01 * width) ** 2
    assert found.shape == (1, 1, *[length - 10 for length in shape[2:]])
    np.testing.assert_allclose(found, (2 * a * b + c1) / (a**2 + b**2 + c1), rtol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_mean_of_a_region_is_that_of_its_part_of_the_map(shape):
    noisy, clean = pair(shape)
    mask = torch.zeros(shape, dtype=torch.bool)
    mask[:, :, :7] = True  # of which rows 5 and 6 are farther than 5 from the border
    ranges = data_range_of(clean)
    found = structural_similarity(noisy, clean, ranges, mask)
    for i in range(shape[0]):
        expected = reference_map(noisy[i], clean[i], float(ranges[i]))[:2].mean()
        assert float(found[i]) == pytest.approx(expected, abs=5e-5)
    with pytest.raises(ValueError, match="mask"):
        structural_similarity(noisy, clean, ranges, mask.roll(-2, 2) & mask)


@pytest.mark.parametrize("shape", SHAPES)
def test_equal_images_are_one_and_images_do_not_mix(shape):
    noisy, clean = pair(shape)
    np.testing.assert_allclose(structural_similarity(clean, clean, 1.0), 1, rtol=1e-6)
    ranges = data_range_of(clean)
    together = structural_similarity(noisy, clean, ranges)
    alone = [structural_similarity(noisy[[i]], clean[[i]], ranges[i]) for i in range(shape[0])]
    torch.testing.assert_close(together, torch.cat(alone))


@pytest.mark.parametrize("shape", [(1, 1, 10, 30), (1, 1, 12, 12, 10)])
def test_too_small_an_image_is_refused(shape):
    with pytest.raises(ValueError, match="at least 11 voxels"):
        structural_similarity(torch.rand(shape), torch.rand(shape), 1.0)


def test_the_global_one_by_hand_and_in_a_mask():
    one, other = pair((2, 1, 9, 8))
    mask = torch.zeros_like(one)
    mask[..., 2:7, 1:6] = 1
    for kept in (None, mask):
        made = global_similarity(one, other, 3.0, kept)
        for sample in range(2):
            inside = slice(None) if kept is None else kept[sample].numpy() > 0
            x, y = one[sample].double().numpy()[inside], other[sample].double().numpy()[inside]
            covariance = np.mean((x - x.mean()) * (y - y.mean()))
            first, second = 0.03**2, 0.09**2
            expected = (2 * x.mean() * y.mean() + first) * (2 * covariance + second)
            expected /= (x.mean() ** 2 + y.mean() ** 2 + first) * (x.var() + y.var() + second)
            assert made[sample].item() == pytest.approx(expected, rel=1e-6)
    torch.testing.assert_close(global_similarity(one, one, 3.0), torch.ones(2).double())
