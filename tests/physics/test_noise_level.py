"""The estimated noise level of phantoms whose level is known."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.restoration import estimate_sigma

from custom.physics.acquisition import rician
from custom.physics.noise_level import (
    local_noise_level,
    slice_noise_level,
    slice_noise_table,
)

SHAPE = (64, 72, 60)


def level_of(slices: torch.Tensor) -> torch.Tensor:
    bright, expected = (torch.tensor(part) for part in slice_noise_table())
    return slice_noise_level(slices, bright, expected)


def head():
    """Air, tissue of several intensities with smooth borders, and a dark lake in it."""
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    radius = np.sqrt(z**2 + y**2 + x**2)
    folds = 0.8 + 0.2 * np.sign(np.sin(9 * z) * np.cos(7 * y) + np.sin(8 * x))
    values = np.where(radius < 0.85, folds, 0.0) * np.where(radius < 0.25, 0.3, 1.0)
    return torch.from_numpy(ndimage.gaussian_filter(values, 1.0).astype(np.float32)), radius


def noisy(volume, sigma, seed=0):
    return rician(volume, sigma, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("sigma", [0.02, 0.05, 0.12])
def test_rician_noise_in_tissue_and_in_air(sigma):
    volume, radius = head()
    found = local_noise_level(noisy(volume, sigma)) / sigma
    for part in (radius < 0.7, radius > 1.1):
        assert float(found[torch.from_numpy(part)].median()) == pytest.approx(1, abs=0.05)
    # One number for the whole volume is far off, since noise is weaker in air.
    assert estimate_sigma(noisy(volume, sigma).numpy()) < 0.97 * sigma


def test_a_level_that_varies_in_space_as_parallel_imaging_makes_it():
    volume, _ = head()
    sigma = (0.06 * torch.linspace(0.5, 1.5, SHAPE[0])).view(-1, 1, 1).expand(SHAPE)
    ratio = local_noise_level(noisy(volume, sigma)) / sigma
    inner = ratio[8:-8]
    assert float(inner.mean()) == pytest.approx(1, abs=0.05)
    assert float((inner - 1).abs().quantile(0.95)) < 0.15


def test_its_unit_is_the_volume_s():
    volume, _ = head()
    image = noisy(volume, 0.05)
    in_other_units = local_noise_level(700 * image) / 700
    torch.testing.assert_close(in_other_units, local_noise_level(image), rtol=1e-4, atol=1e-6)


def test_anatomy_without_noise_is_hardly_taken_for_noise():
    assert float(local_noise_level(head()[0]).max()) < 0.004


def test_what_a_program_set_to_zero_does_not_count():
    volume, radius = head()
    image = noisy(volume, 0.05)
    inside = torch.from_numpy(radius < 0.8)
    found = local_noise_level(torch.where(inside, image, 0.0))
    assert float(found[inside].median()) == pytest.approx(0.05, rel=0.05)
    assert float(found.max()) < 0.06
    assert not local_noise_level(torch.zeros(9, 8, 7)).any()


@pytest.mark.parametrize("shape", [(3, 3, 3), (40, 1, 33), (2, 30, 30)])
def test_a_thin_volume_has_some_level(shape):
    found = local_noise_level(torch.rand(shape, generator=torch.Generator().manual_seed(0)))
    assert found.shape == shape
    assert found.isfinite().all()


@pytest.mark.parametrize("brightness", [0.0, 2.0, 10.0])
def test_a_slice_has_one_level_in_tissue_and_in_air(brightness):
    slices = noisy(torch.full((6, 1, 96, 80), brightness), 1.0)
    found = level_of(slices)
    assert found.shape == (6,)
    np.testing.assert_allclose(found, 1.0, atol=0.2)
    assert float(found.mean()) == pytest.approx(1, abs=0.12)
    torch.testing.assert_close(level_of(700 * slices), 700 * found)


def test_anatomy_hot_voxels_and_what_was_cut_away_hardly_change_the_level_of_a_slice():
    volume, radius = head()
    slices = noisy(10 * volume[20:40, None], 1.0)
    level = level_of(slices)
    np.testing.assert_allclose(level, 1.0, atol=0.2)
    few = slices.clone()
    few[:, :, 3, ::20] = 1e4
    np.testing.assert_allclose(level_of(few), level, rtol=0.05)
    cut = torch.where(torch.from_numpy(radius[20:40, None] < 0.8), slices, 0)
    np.testing.assert_allclose(level_of(cut), 1.0, atol=0.25)
    assert float(level_of(torch.zeros(1, 1, 16, 16))) == 0
