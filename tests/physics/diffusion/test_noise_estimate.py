from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusion_series import make_series, study_table
from scipy import stats

from custom.physics.diffusion.gradient_table import spread_directions
from custom.physics.diffusion.noise_estimate import fit_noise, local_noise, volume_noise
from custom.physics.diffusion.tensor import b_matrix


def test_the_noise_of_an_even_volume_is_its_deviation() -> None:
    rng = np.random.default_rng(0)
    noise = 100 + rng.normal(0, 3.0, (50, 50, 50, 3)).astype(np.float32)
    # A voxel in a face lacks a neighbour, and counts 5/7 of the variance: 12 % of them do.
    assert volume_noise(noise) == pytest.approx(3.0 * (1 - 0.12 * 2 / 7) ** 0.5, rel=0.005)
    noise -= 100
    noise[:25] = 0.0  # a background that was cut out does not count
    assert volume_noise(noise) == pytest.approx(3.0 * (1 - 0.12 * 2 / 7) ** 0.5, rel=0.02)


def test_one_noisy_volume_does_not_raise_the_level() -> None:
    """The median over the volumes counts, not their mean."""
    noise = np.random.default_rng(0).normal(0, 1.0, (24, 24, 24, 5)).astype(np.float32)
    usual = volume_noise(noise)
    noise[..., 3] *= 10
    assert volume_noise(noise) == pytest.approx(usual, rel=0.03)


def test_one_hot_voxel_does_not_raise_the_level() -> None:
    noise = 100 + np.random.default_rng(0).normal(0, 3.0, (40, 40, 40, 3)).astype(np.float32)
    usual = volume_noise(noise)
    noise[20, 20, 20] = 1e6
    assert volume_noise(noise) == pytest.approx(usual, rel=0.2)


def test_the_noise_of_nothing_is_none() -> None:
    assert volume_noise(np.zeros((4, 4, 4, 2), np.float32)) == 0.0


@pytest.mark.parametrize("measurements", [8, 32])
def test_the_noise_of_tensors_is_found_within_five_standard_errors(measurements: int) -> None:
    directions = torch.from_numpy(spread_directions(measurements - 1)).float()
    bvals = torch.tensor([0.0] + [1000.0] * (measurements - 1))
    rows = b_matrix(bvals, torch.cat([torch.zeros(1, 3), directions]))
    voxels, sigma = 20_000, 0.005  # so weak that the logarithm does not bend it
    clean = 500 * torch.exp(-torch.tensor([0.7, 0.8, 0.9, 0.1, 0, 0]) @ rows.T)
    noise = torch.randn((voxels, measurements), generator=torch.Generator().manual_seed(0))
    found = fit_noise(clean + 500 * sigma * noise, rows) / (500 * sigma)
    # Of the root of the median of a chi-square distribution.
    squares = stats.chi2(measurements - 7)
    middle = squares.median()
    error = 1 / (2 * squares.pdf(middle) * voxels**0.5) / (2 * middle)
    assert abs(found - 1) < 5 * error < 0.05


@pytest.mark.parametrize("sigma", [0.02, 0.1])
def test_residuals_of_fits_give_the_noise(sigma: float) -> None:
    table = study_table()
    series = make_series((20, 20, 20), seed=2)
    clean = torch.from_numpy(series.clean[series.inside] / series.s0[series.inside][:, None])
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    signals = 500 * (clean.float() + sigma * noise)
    # 25 degrees of freedom in each of some 2000 voxels; a logarithm bends what is noisy.
    assert fit_noise(signals, table.b_rows) == pytest.approx(500 * sigma, rel=0.02)


def test_a_few_voxels_that_are_no_tensors_do_not_count() -> None:
    rows = study_table().b_rows
    tensors = torch.tensor([[0.7, 0.8, 0.9, 0, 0, 0]]).expand(2000, 6)
    generator = torch.Generator().manual_seed(1)
    signals = torch.exp(-tensors @ rows.T) + 0.03 * torch.randn((2000, 32), generator=generator)
    alone = fit_noise(signals, rows)
    signals[:100] = torch.rand((100, 32), generator=generator) + 0.1
    assert fit_noise(signals, rows) == pytest.approx(alone, rel=0.05)


def test_too_few_measurements_have_no_residual() -> None:
    with pytest.raises(ValueError, match="eight or more"):
        fit_noise(torch.ones(5, 7), torch.ones(7, 6))


def test_a_map_follows_noise_that_varies() -> None:
    rng = np.random.default_rng(0)
    shape = (16, 12, 12)
    level = np.where(np.arange(16) < 8, 2.0, 6.0)[:, None, None]
    curve = np.linspace(100, 40, 20)
    series = (curve + level[..., None] * rng.normal(size=(*shape, 20))).astype(np.float32)
    mask = np.ones(shape, bool)
    mask[:, :2] = False
    sigma = local_noise(series, mask)
    assert sigma.shape == shape
    inner = sigma[:, 4:-4, 4:-4]
    np.testing.assert_allclose(inner[2:5].mean(), 2.0, rtol=0.1)
    np.testing.assert_allclose(inner[11:14].mean(), 6.0, rtol=0.1)
    # Where nothing is known the median stands.
    assert np.isfinite(sigma).all()
    assert len(np.unique(sigma[~mask])) == 1
