"""The unweighted signal of a voxel, from its b = 0 volumes or from a fit."""

import pytest
import torch

from custom.physics.diffusion.noise_estimate import estimate_scale
from custom.physics.diffusion.tensor import b_matrix, tensor_signal


@pytest.fixture
def protocol():
    generator = torch.Generator().manual_seed(0)
    bvecs = torch.nn.functional.normalize(torch.randn(32, 3, generator=generator), dim=1)
    bvals = torch.tensor([50.0, *[1000.0] * 30, 50.0])
    return b_matrix(bvals, bvecs), bvals <= 50


def signals_of(b_rows, scale):
    tensors = torch.tensor([[1.7, 0.4, 0.3, 0.1, 0.0, -0.1], [0.8, 0.8, 0.8, 0.0, 0.0, 0.0]])
    return scale * tensor_signal(tensors, b_rows), tensors


@pytest.mark.parametrize("scale", [1.0, 700.0, 1e-3])
def test_a_fit_finds_the_scale_that_the_mean_falls_short_of(protocol, scale):
    b_rows, unweighted = protocol
    signals, tensors = signals_of(b_rows, scale)
    fitted = estimate_scale(signals, b_rows, unweighted, "fit")
    torch.testing.assert_close(fitted, torch.full((2,), scale), rtol=1e-4, atol=0.0)
    # At b = 50 the mean is S_0 times the mean of exp(-b g'Dg).
    weights = torch.exp(-(tensors @ b_rows[unweighted].T)).mean(1)
    mean = estimate_scale(signals, b_rows, unweighted, "b0")
    torch.testing.assert_close(mean, scale * weights)


def test_without_unweighted_signals_there_is_no_scale(protocol):
    b_rows, unweighted = protocol
    signals, _ = signals_of(b_rows, 1.0)
    with pytest.raises(ValueError, match="unweighted"):
        estimate_scale(signals, b_rows, torch.zeros_like(unweighted), "b0")
    with pytest.raises(ValueError, match="estimate"):
        estimate_scale(signals, b_rows, unweighted, "median")
