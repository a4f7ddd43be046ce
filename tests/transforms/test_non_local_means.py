import numpy as np
import pytest
import torch
from dipy.denoise.nlmeans import nlmeans
from monai.data import MetaTensor

from custom.transforms.non_local_means import NonLocalMeansd, estimated_noise, non_local_means


def blocks(depth=4, size=48):
    """Piecewise constant magnitude far above the noise, so that the noise is nearly Gaussian."""
    image = np.full((size, size, depth), 100.0)
    image[size // 4 : size // 2, size // 4 :] = 160
    image[size // 2 :, : size // 2] = 220
    return image


def noisy(image, sigma, seed=0):
    random = np.random.default_rng(seed)
    return np.abs(
        image
        + sigma * (random.standard_normal(image.shape) + 1j * random.standard_normal(image.shape))
    )


@pytest.mark.parametrize(("level", "variance"), [(0.0, 2 - np.pi / 2), (1000.0, 1.0)])
def test_the_noise_is_found_as_the_filter_lets_it_through(level, variance):
    # sqrt(6/7) (x - (4 neighbours + 2 x) / 6) of independent values keeps 10/21 of the variance,
    # which is 2 - pi/2 (Rayleigh) without signal and 1 with much.
    expected = 7.0 * np.sqrt(10 / 21 * variance)
    found = estimated_noise(noisy(np.full((96, 96, 5), level), 7.0))
    assert found == pytest.approx(expected, rel=0.02)


def test_slices_that_differ_do_not_count_as_noise():
    stack = noisy(np.zeros((64, 64, 6)), 5.0) + 1000 * np.arange(6)
    assert estimated_noise(stack) == pytest.approx(estimated_noise(stack[..., :1]), rel=0.1)


@pytest.mark.parametrize("radii", [(), (2, 1)])
def test_it_is_dipy_s_filter_with_the_estimated_noise(radii):
    stack = noisy(blocks(6, 20), 6.0)
    patch, block = radii or (1, 3)
    expected = nlmeans(
        stack,
        estimated_noise(stack),
        patch_radius=patch,
        block_radius=block,
        rician=False,
        method="classic",
    )
    image = torch.from_numpy(stack)[None]
    named = NonLocalMeansd("nlm", *radii)({"nlm": image})["nlm"]
    told = non_local_means(stack, *radii, sigma=estimated_noise(stack))
    for found in (non_local_means(stack, *radii), named[0], told):
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_noise_goes_and_edges_stay():
    clean = blocks()
    given = noisy(clean, 6.0)
    denoised = non_local_means(given)
    before, after = np.mean((given - clean) ** 2), np.mean((denoised - clean) ** 2)
    assert after < before / 5
    edge = slice(22, 26)  # across the step from 160 to 220
    steps = np.abs(np.diff(denoised[edge, 16], axis=0)).max(axis=0)
    assert (steps > 40).all()


@pytest.mark.parametrize("shape", [(32, 32, 1), (32, 32, 2), (32, 3, 9), (1, 1, 1)])
def test_short_axes_give_the_same_each_time(shape):
    # DIPY's own mirroring reads foreign memory here, which shows only now and then.
    stack = noisy(np.full(shape, 100.0), 5.0)
    first = non_local_means(stack)
    assert first.shape == stack.shape
    assert first.dtype == np.float32
    for _ in range(5):
        junk = np.random.default_rng(0).standard_normal((4, 40, 40, 16)) * 1e3
        del junk
        np.testing.assert_array_equal(non_local_means(stack), first)


def test_the_gain_of_the_scanner_does_not_matter():
    stack = noisy(blocks(2, 32), 5.0)
    np.testing.assert_allclose(
        non_local_means(1e4 * stack), 1e4 * non_local_means(stack), rtol=1e-5
    )


def test_the_rician_bias_is_not_subtracted():
    background = noisy(np.zeros((48, 48, 3)), 10.0)
    square = 2 * 10**2  # of Rayleigh noise
    assert np.square(non_local_means(background)).mean() == pytest.approx(square, rel=0.05)


def test_a_constant_stack_stays():
    np.testing.assert_array_equal(non_local_means(np.full((20, 20, 2), 3.0)), 3.0)


def test_only_the_named_stack_changes_and_geometry_stays():
    stack = MetaTensor(
        torch.from_numpy(noisy(blocks(2, 32), 5.0))[None],
        affine=torch.diag(torch.tensor([0.2, 0.2, 0.6, 1.0])),
    )
    data = {"nlm": stack, "image": stack.clone()}
    result = NonLocalMeansd("nlm")(data)
    torch.testing.assert_close(result["image"], data["image"])
    torch.testing.assert_close(result["nlm"].affine, stack.affine)
    assert not torch.equal(result["nlm"], stack)


@pytest.mark.parametrize("name", ["patch_radius", "block_radius"])
def test_radii_must_be_positive(name):
    with pytest.raises(ValueError, match=name):
        NonLocalMeansd("image", **{name: 0})


def test_noise_about_zero_stays_about_zero():
    # Averaged squares would leave its deviation instead: 1.
    noise = np.random.default_rng(0).standard_normal((16, 16, 16))
    found = non_local_means(noise, signed=True)
    assert abs(found.mean()) < 5 / noise.size**0.5
    assert found.std() < 0.5


def test_an_edge_of_signed_values_stays_and_noise_goes():
    step = np.zeros((20, 14, 14))
    step[10:] = 10.0
    found = non_local_means(
        step + 0.3 * np.random.default_rng(0).standard_normal(step.shape), signed=True
    )
    assert np.sqrt(np.mean(np.square(found - step))) < 0.15
    assert (found[10] - found[9]).min() > 9


def test_the_levels_of_a_volume_do_not_matter():
    values = np.random.default_rng(0).random((9, 9, 9))
    shifted = non_local_means(values + 0.25, signed=True) - 0.25
    np.testing.assert_allclose(shifted, non_local_means(values, signed=True), atol=1e-5)
