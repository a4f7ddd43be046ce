"""The error to expect of an estimated signal, against bounds that can be computed otherwise."""

import numpy as np
import pytest
import torch

from custom.physics.diffusion.error_scales import error_scales_of, expected_squared_error
from custom.physics.diffusion.gradient_table import published_scheme
from custom.physics.diffusion.priors import BallAndSticksPrior, BoxPrior
from custom.physics.diffusion.tensor import tensor_signal


@pytest.fixture(scope="module")
def draws():
    b_rows = published_scheme().b_rows
    return BoxPrior().draw(4000, b_rows, torch.Generator().manual_seed(3)), b_rows


def test_it_lies_below_the_bound_and_below_the_variance_and_reaches_both():
    bound, variance = torch.tensor(0.1875), torch.tensor(0.025)
    sigma = torch.logspace(-2, 2, 50).unsqueeze(1)
    expected = expected_squared_error(sigma, bound, variance)
    assert (expected < bound * sigma**2).all()
    assert (expected < variance).all()
    weak, strong = expected[0], expected[-1]
    torch.testing.assert_close(weak, bound * sigma[0] ** 2, rtol=1e-3, atol=0.0)
    torch.testing.assert_close(strong, variance.reshape(1), rtol=1e-3, atol=0.0)


def test_no_noise_counts_as_a_hundredth():
    of = expected_squared_error(torch.tensor([[0.0], [0.01]]), torch.tensor(1.0), torch.tensor(1.0))
    assert of[0] == of[1] > 0


def test_a_signal_s_bound_is_that_of_its_jacobian(draws):
    """The mean variance of fits, trace(J (J'J)^-1 J') / M, is p / M whatever the tensor."""
    drawn, b_rows = draws
    scales = error_scales_of(drawn.signal, drawn.tensor, b_rows, 6)
    jacobian = (-drawn.signal[0].double().unsqueeze(1) * b_rows.double()).numpy()
    trace = np.trace(jacobian @ np.linalg.inv(jacobian.T @ jacobian) @ jacobian.T)
    assert float(scales.signal_bound) == pytest.approx(trace / len(b_rows), rel=1e-6)
    assert float(scales.signal_misfit) == 0.0


def test_moments_are_those_of_the_prior(draws):
    drawn, b_rows = draws
    scales = error_scales_of(drawn.signal, drawn.tensor, b_rows, 6, scale_variance=0.04)
    values = drawn.tensor.double().numpy()
    np.testing.assert_allclose(scales.mean[:6], values.mean(0), rtol=1e-5)
    assert scales.mean[6] == 1.0
    covariance = np.linalg.inv(scales.precision.double().numpy())
    np.testing.assert_allclose(covariance[:6, :6], np.cov(values.T), atol=1e-4)
    assert covariance[6, 6] == pytest.approx(0.04, rel=1e-4)
    assert float(scales.signal_bound) == pytest.approx(7 / 32)


def test_the_tensor_s_bound_is_the_variance_of_its_fits(draws):
    """Least squares on many noisy copies of one signal scatters as the inverse of J'J says."""
    from custom.physics.diffusion.tensor_fit import fit_non_linear

    _, b_rows = draws
    tensor = torch.tensor([[1.2, 0.9, 0.7, 0.1, 0.0, -0.2]])
    clean = tensor_signal(tensor, b_rows)
    scales = error_scales_of(clean.expand(10, -1), tensor.expand(10, -1), b_rows, 6)
    sigma, copies = 0.01, 4000
    noise = torch.randn(copies, 32, generator=torch.Generator().manual_seed(0))
    fitted = fit_non_linear(clean + sigma * noise, b_rows)[0]
    found = fitted.double().var(0).numpy()
    # A sample variance of normal values has the relative error sqrt(2 / n).
    np.testing.assert_allclose(
        found, scales.tensor_bound.numpy() * sigma**2, rtol=5 * np.sqrt(2 / copies)
    )


def test_mixtures_have_a_misfit():
    b_rows = published_scheme().b_rows
    prior = BallAndSticksPrior()
    drawn = prior.draw(2000, b_rows, torch.Generator().manual_seed(0))
    scales = error_scales_of(drawn.signal, None, b_rows, prior.num_parameters)
    assert 1e-5 < float(scales.signal_misfit) < float(scales.signal_variance) / 10
