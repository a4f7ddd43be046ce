import numpy as np
import pytest
import torch
from dipy.denoise.localpca import genpca, mppca
from scipy.ndimage import gaussian_filter

from custom.physics.diffusion import neighbours
from custom.physics.diffusion.gradient_table import published_scheme
from custom.physics.diffusion.neighbours import (
    neighbour_weights,
    patch_components,
    patch_widths,
    reduce_noise,
    weighted_share,
)
from custom.physics.diffusion.priors import EigenvaluePrior
from custom.physics.diffusion.tensor import tensor_signal
from custom.physics.diffusion.tensor_fit import fit_log_linear

SHAPE = (14, 12, 10)
ROWS = published_scheme().b_rows


@pytest.fixture(scope="module")
def phantom():
    """Smoothly changing tensors and a sharp border, ``(M, X, Y, Z)``."""
    drawn = EigenvaluePrior(0.2, 2.5, 0.7).draw(16, ROWS, torch.Generator().manual_seed(0))
    field = np.zeros((*SHAPE, 6), np.float32)
    shares = np.random.default_rng(0).random((16, *SHAPE))
    shares = np.stack([gaussian_filter(share, 2.5) for share in shares]) ** 24
    field = np.einsum("kxyz,ke->xyze", shares / shares.sum(0), drawn.tensor.numpy())
    field[7:] = drawn.tensor[3].numpy()
    return tensor_signal(torch.from_numpy(field.astype(np.float32)), ROWS).movedim(-1, 0)


def noisy(truth, sigma, smooth=0.0, seed=1):
    noise = np.random.default_rng(seed).standard_normal(truth.shape)
    if smooth:
        noise = gaussian_filter(noise, (0, smooth, smooth, 0))
        noise /= noise.std()
    return truth + sigma * torch.from_numpy(noise.astype(np.float32))


def whole(value=1.0):
    return torch.ones(SHAPE, dtype=torch.bool), torch.full(SHAPE, value)


def test_weights_by_hand():
    signals = torch.tensor([[1.0, 2.0], [1.0, 2.2], [4.0, 2.0]])
    places = torch.tensor([[0, 1, 2]] * 3)
    inside = torch.tensor([[True, True, True], [True, True, False], [True, True, True]])
    found = neighbour_weights(signals, torch.full((3,), 0.2), places, inside)
    like = np.exp(-(0.2**2 / 2) / (0.7 * 0.2**2))
    np.testing.assert_allclose(found[0], np.array([1, like, 0]) / (1 + like), atol=1e-6)
    np.testing.assert_allclose(found[1], np.array([like, 1, 0]) / (1 + like), atol=1e-6)
    np.testing.assert_allclose(found[2], [0, 0, 1], atol=1e-6)


def test_noise_however_strong_does_not_make_unlike_neighbours_alike():
    signals, places = torch.tensor([[1.0, 2.0], [1.2, 2.0]]), torch.tensor([[0, 1]] * 2)
    found = neighbour_weights(signals, torch.tensor([1e6, 1e6]), places, torch.ones(2, 2) > 0)
    like = np.exp(-(0.2**2 / 2) / (0.1 * 2.0) ** 2)
    np.testing.assert_allclose(found, np.array([[1, like], [like, 1]]) / (1 + like), atol=1e-6)


@pytest.mark.parametrize("correlation", [(0.0, 0.0, 0.0), (0.5, 0.25, 0.0)])
def test_the_share_of_a_weighted_mean_is_that_of_a_simulation(correlation):
    rng = np.random.default_rng(0)
    weights = torch.from_numpy(rng.dirichlet(np.ones(27)).astype(np.float32))
    apart = np.abs(np.subtract.outer(np.arange(3), np.arange(3)))  # three in a row
    roots = [np.linalg.cholesky(rho**apart) for rho in correlation]
    noise = np.einsum("ai,bj,ck,nijk->nabc", *roots, rng.standard_normal((20_000, 3, 3, 3)))
    means = noise.reshape(-1, 27) @ weights.numpy()
    found = float(weighted_share(weights[None], correlation))
    assert found == pytest.approx(means.var(), rel=5 * np.sqrt(2 / 20_000))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_components_are_those_of_dipy(phantom, monkeypatch):
    monkeypatch.setattr(neighbours, "_STRIDE", 1)
    monkeypatch.setattr(neighbours, "_THRESHOLD", 1.0)
    series = noisy(phantom, 0.1).movedim(0, -1).contiguous()
    found, share, mean_share = patch_components(series, *whole(0.1))
    theirs = genpca(series.numpy(), sigma=0.1 * np.ones(SHAPE), patch_radius=2)
    np.testing.assert_allclose(found.clamp_min(0), theirs, atol=1e-4)
    assert share.min() == 0  # nothing in the flat half but the mean
    assert 0.05 < share.max() < 0.3
    torch.testing.assert_close(mean_share, torch.full(SHAPE, 1 / 125))


def test_patches_are_odd_and_hold_more_voxels_than_volumes():
    assert patch_widths((20, 20, 20), 32) == [5, 5, 5]
    assert patch_widths((20, 20, 4), 128) == [7, 7, 3]
    assert patch_widths((20, 1, 2), 8) == [5, 1, 1]


def test_a_clean_series_comes_back(phantom):
    for sigma in (0.0, 1e-6):
        found, level = reduce_noise(phantom, *whole(sigma), ROWS)
        torch.testing.assert_close(found, phantom, rtol=0, atol=2e-5)
        assert level.max() <= sigma


def test_only_the_mask_counts_and_changes(phantom):
    mask, sigma = whole(0.1)
    mask[:4] = False
    series = noisy(phantom, 0.1)
    series[:, 0] = torch.nan
    found, level = reduce_noise(series, mask, sigma, ROWS)
    torch.testing.assert_close(found[:, ~mask], series[:, ~mask], equal_nan=True)
    assert torch.isfinite(found[:, mask]).all()
    assert torch.equal(level[~mask], sigma[~mask])
    assert (level[mask] < 0.1).all()
    alone = torch.zeros(SHAPE, dtype=torch.bool)
    found, level = reduce_noise(noisy(phantom, 0.1), alone, sigma, ROWS)
    assert torch.equal(level, sigma)
    alone[3, 3, 3] = True
    assert torch.isfinite(reduce_noise(noisy(phantom, 0.1), alone, sigma, ROWS)[0]).all()


def test_one_slice_and_one_voxel_are_no_fault(phantom):
    for cut in (np.s_[:, :, :, 4:5], np.s_[:, 3:4, 3:4, 3:4]):
        series = noisy(phantom, 0.1)[cut]
        mask = torch.ones(series.shape[1:], dtype=torch.bool)
        found, _ = reduce_noise(series, mask, torch.full(mask.shape, 0.1), ROWS)
        assert torch.isfinite(found).all()


@pytest.mark.parametrize("smooth", [0.0, 0.6])
def test_less_noise_is_left_than_of_components_alone(phantom, smooth):
    mask, sigma = whole(0.1)
    series = noisy(phantom, 0.1, smooth)
    found, level = reduce_noise(series, mask, sigma, ROWS)
    components = mppca(series.movedim(0, -1).numpy(), patch_radius=2, suppress_warning=True)
    errors = [
        float((fitted(values) - phantom).square().mean())
        for values in (found, torch.from_numpy(components).movedim(-1, 0))
    ]
    assert errors[0] < 0.8 * errors[1]
    # A fit leaves the noise of seven directions in 32.
    assert (7 / 32) * float(level.square().mean()) == pytest.approx(errors[0], rel=0.5)


def fitted(series):
    tensors, scale = fit_log_linear(series.reshape(32, -1).T, ROWS, scale_known=False)
    return (scale[:, None] * tensor_signal(tensors, ROWS)).T.reshape(series.shape)
