import numpy as np
import pytest
import torch
from diffusion_series import study_table
from dipy.reconst import dti
from skimage.metrics import normalized_root_mse

from custom.metrics.dwi_quality import coverage, refit_tensors, signal_measures, tensor_measures
from custom.physics.diffusion.tensor import tensor_matrices, tensor_signal

ROWS = study_table().b_rows.double()


def tensors(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    shift = torch.tensor([0.5, 0.5, 0.5, -0.2, -0.2, -0.2])
    size = torch.tensor([2.0, 2.0, 2.0, 0.4, 0.4, 0.4])
    return (shift + size * torch.rand(count, 6, generator=generator)).double()


def test_signal_errors_against_scikit_image() -> None:
    random = np.random.default_rng(0)
    truth, restored = random.random((50, 32)), random.random((50, 32))
    found = signal_measures(torch.from_numpy(restored), torch.from_numpy(truth))
    assert found["mse"] == pytest.approx(((restored - truth) ** 2).mean())
    assert found["nrmse"] == pytest.approx(normalized_root_mse(truth, restored))


def test_noise_of_a_known_level_has_its_square_as_error() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.full((4000, 32), 0.5, dtype=torch.float64)
    for sigma in (0.02, 0.3):
        noise = sigma * torch.randn(truth.shape, generator=generator, dtype=torch.float64)
        error = sigma**2 * (2 / truth.numel()) ** 0.5
        assert signal_measures(truth + noise, truth)["mse"] == pytest.approx(
            sigma**2, abs=5 * error
        )


def test_a_deviation_that_is_right_covers_what_a_gaussian_does() -> None:
    generator = torch.Generator().manual_seed(1)
    truth = torch.rand(2000, 32, generator=generator, dtype=torch.float64)
    spread = 0.01 + torch.rand(truth.shape, generator=generator, dtype=torch.float64)
    found = truth + spread * torch.randn(truth.shape, generator=generator, dtype=torch.float64)
    for times, share in ((1.0, 0.682689), (2.0, 0.954500)):
        error = (share * (1 - share) / truth.numel()) ** 0.5
        assert coverage(found, truth, spread, times) == pytest.approx(share, abs=5 * error)
    assert coverage(truth, truth, 0 * spread, 1.0) == 1.0


def test_refitting_noiseless_signals_gives_their_tensors() -> None:
    truth = tensors(200, 2)
    found = refit_tensors(tensor_signal(truth, ROWS), ROWS.float())
    torch.testing.assert_close(found, truth, rtol=0, atol=1e-5)


def test_tensor_errors_against_dipy() -> None:
    one, other = tensors(300, 3), tensors(300, 4)
    found = tensor_measures(one, other)
    values = [np.linalg.eigvalsh(tensor_matrices(many).numpy()) for many in (one, other)]
    md, fa = (
        [measure(many) for many in values]
        for measure in (dti.mean_diffusivity, dti.fractional_anisotropy)
    )
    assert found["md_mae"] == pytest.approx(np.abs(md[0] - md[1]).mean())
    # DIPY does not cut the anisotropy of what is no tensor to 1.
    assert found["fa_mae"] == pytest.approx(
        np.abs(np.minimum(fa[0], 1) - np.minimum(fa[1], 1)).mean()
    )
    off = (one - other).numpy()
    assert found["d_mse"] == pytest.approx((off**2).mean())
    assert found["d_mae"] == pytest.approx(np.abs(off).mean())
