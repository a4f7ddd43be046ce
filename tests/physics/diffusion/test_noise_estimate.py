from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusion_series import make_series, study_table

from custom.physics.diffusion.noise_estimate import fit_noise, local_noise, volume_noise


def test_the_noise_of_an_even_volume_is_its_deviation() -> None:
    rng = np.random.default_rng(0)
    noise = 100 + rng.normal(0, 3.0, (50, 50, 50, 3)).astype(np.float32)
    # A voxel in a face lacks a neighbour, and counts 5/7 of the variance: 12 % of them do.
    assert volume_noise(noise) == pytest.approx(3.0 * (1 - 0.12 * 2 / 7) ** 0.5, rel=0.005)
    noise -= 100
    noise[:25] = 0.0  # a background that was cut out does not count
    assert volume_noise(noise) == pytest.approx(3.0 * (1 - 0.12 * 2 / 7) ** 0.5, rel=0.02)


def test_the_noise_of_nothing_is_none() -> None:
    assert volume_noise(np.zeros((4, 4, 4, 2), np.float32)) == 0.0


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
