import numpy as np
import pytest
import torch
from dipy.core.gradients import gradient_table
from dipy.reconst import dti
from scipy.optimize import least_squares, minimize

from custom.physics.diffusion.gradient_table import GradientTable, spread_directions
from custom.physics.diffusion.priors import BoxPrior, EigenvaluePrior
from custom.physics.diffusion.tensor import b_matrix, tensor_signal
from custom.physics.diffusion.tensor_fit import (
    clip_to_box,
    fit_log_linear,
    fit_non_linear,
    regularised_gauss_newton,
)

DIPY_ORDER = [0, 3, 1, 4, 5, 2]  # xx, xy, yy, xz, yz, zz
OUR_ORDER = [0, 2, 5, 1, 3, 4]


@pytest.fixture(scope="module")
def table():
    """Two of b = 0, twenty of b = 1000."""
    directions = spread_directions(20)
    bvecs = np.concatenate([np.zeros((2, 3)), directions])
    return GradientTable(np.array([0.0, 0, *[1000] * 20]), bvecs)


@pytest.fixture(scope="module")
def rows(table):
    return b_matrix(torch.from_numpy(table.bvals), torch.from_numpy(table.bvecs))


@pytest.fixture(scope="module")
def design(table):
    return dti.design_matrix(gradient_table(table.bvals, bvecs=table.bvecs, b0_threshold=10))


def noisy_signals(rows, count=40, sigma=0.03, seed=0, highest=2.0):
    """Tensors, scales and noisy signals, in double precision."""
    generator = torch.Generator().manual_seed(seed)
    tensors = EigenvaluePrior(0.2, highest).draw(count, rows.float(), generator).tensor.double()
    scale = 0.8 + 0.4 * torch.rand(count, 1, generator=generator, dtype=torch.float64)
    noise = torch.randn(count, len(rows), generator=generator, dtype=torch.float64)
    signals = scale * (tensor_signal(tensors, rows) + sigma * noise)
    return tensors, scale[:, 0], signals


def from_dipy(triangular):
    """Return tensors in our order and unit, and S0."""
    return triangular[:, OUR_ORDER] * 1e3, np.exp(-triangular[:, 6])


@pytest.mark.parametrize("weighted", [False, True])
def test_log_linear_fits_are_dipy_s(rows, design, weighted):
    _, _, signals = noisy_signals(rows, sigma=0.1)
    floor = 0.05
    assert (signals < floor).any()  # the floor is DIPY's min_signal
    referee = dti.wls_fit_tensor if weighted else dti.ols_fit_tensor
    data = np.maximum(signals.numpy(), floor)
    triangular, _ = referee(design, data, return_lower_triangular=True)
    tensors, scale = fit_log_linear(
        signals, rows, floor=floor, weighted=weighted, scale_known=False
    )
    expected, expected_scale = from_dipy(triangular)
    np.testing.assert_allclose(tensors, expected, atol=2e-5)
    np.testing.assert_allclose(scale, expected_scale, rtol=2e-5)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_known_scale_is_the_fit_without_its_column(rows, weighted):
    _, _, signals = noisy_signals(rows, count=10)
    tensors, scale = fit_log_linear(signals, rows, weighted=weighted)
    design, logs = -rows.numpy(), np.log(signals.clamp_min(0.01).numpy())
    for fitted, log in zip(tensors, logs, strict=True):
        expected = np.linalg.lstsq(design, log, rcond=None)[0]
        if weighted:
            root = np.exp(design @ expected)[:, None]
            expected = np.linalg.lstsq(root * design, root[:, 0] * log, rcond=None)[0]
        np.testing.assert_allclose(fitted, expected, atol=2e-5)
    assert (scale == 1).all()


@pytest.mark.parametrize("scale_known", [True, False])
@pytest.mark.parametrize("fit", [fit_log_linear, fit_non_linear])
def test_signals_without_noise_give_their_tensor(rows, fit, scale_known):
    tensors, scale, signals = noisy_signals(rows, sigma=0.0)
    if scale_known:
        signals, scale = signals / scale[:, None], torch.ones_like(scale)
    found, found_scale = fit(signals, rows, scale_known=scale_known)
    torch.testing.assert_close(found, tensors, atol=2e-5, rtol=0)
    torch.testing.assert_close(found_scale, scale, atol=2e-5, rtol=0)


@pytest.mark.parametrize("scale_known", [True, False])
@pytest.mark.parametrize("sigma", [0.03, 0.15])
def test_non_linear_fit_is_scipy_s(rows, scale_known, sigma):
    truth, _, signals = noisy_signals(rows, count=25, sigma=sigma, highest=1.5)
    tensors, scale = fit_non_linear(signals, rows, scale_known=scale_known, steps=100)
    design = rows.numpy()
    for index, signal in enumerate(signals.numpy()):

        def residual(p, signal=signal):
            return (1.0 if scale_known else p[6]) * np.exp(-design @ p[:6]) - signal

        start = np.append(truth[index].numpy(), [] if scale_known else [1.0])
        expected = least_squares(residual, start, method="lm", xtol=1e-13, ftol=1e-13, gtol=1e-13)
        np.testing.assert_allclose(tensors[index], expected.x[:6], atol=1e-5)
        if not scale_known:
            assert scale[index].item() == pytest.approx(expected.x[6], abs=1e-5)
    assert scale_known == bool((scale == 1).all())


def test_non_linear_fit_is_dipy_s(rows, design):
    _, _, signals = noisy_signals(rows, count=15)
    triangular, _ = dti.nlls_fit_tensor(design, signals.numpy(), return_lower_triangular=True)
    tensors, scale = fit_non_linear(signals, rows, scale_known=False)
    expected, expected_scale = from_dipy(triangular)
    # DIPY stops at a relative step of 1e-8 of a worse scaled problem.
    np.testing.assert_allclose(tensors, expected, atol=1e-3)
    np.testing.assert_allclose(scale, expected_scale, rtol=1e-3)


def test_non_linear_fit_has_least_error_of_the_three(rows):
    _, _, signals = noisy_signals(rows, count=500, sigma=0.3)
    errors = []
    for tensors, scale in (
        fit_log_linear(signals, rows, weighted=False, scale_known=False),
        fit_log_linear(signals, rows, scale_known=False),
        fit_non_linear(signals, rows, scale_known=False),
    ):
        errors.append((signals - scale[:, None] * tensor_signal(tensors, rows)).square().sum(1))
    assert (errors[2] <= errors[1]).all()
    assert (errors[2] <= errors[0] + 1e-9).double().mean() > 0.98
    assert errors[1].mean() < errors[0].mean()


def test_signals_do_not_mix(rows):
    _, _, signals = noisy_signals(rows, count=7, sigma=0.2)
    together, _ = fit_non_linear(signals, rows)
    for index in range(7):
        alone, _ = fit_non_linear(signals[index : index + 1], rows)
        torch.testing.assert_close(alone[0], together[index])


@pytest.mark.parametrize("scale_known", [True, False])
@pytest.mark.parametrize("signal", [0.0, 1.0, 50.0])
def test_hopeless_problems_give_finite_answers(rows, scale_known, signal):
    few = rows[:5].float()  # five measurements for six numbers
    for b_rows in (few, rows.float(), torch.zeros_like(few)):
        flat = torch.full((3, len(b_rows)), signal)
        for fitted in (
            *fit_log_linear(flat, b_rows, scale_known=scale_known),
            *fit_non_linear(flat, b_rows, scale_known=scale_known),
        ):
            assert torch.isfinite(fitted).all()


@pytest.mark.parametrize("floor", [0.0, -1.0])
def test_a_floor_without_logarithm_is_refused(rows, floor):
    with pytest.raises(ValueError, match="floor must be positive"):
        fit_log_linear(torch.ones(2, len(rows)), rows, floor=floor)


@pytest.fixture(scope="module")
def prior(rows):
    """Mean and precision of the study's tensors, and of a scale of 1 +- 0.1."""
    drawn = BoxPrior().draw(4000, rows.float(), torch.Generator().manual_seed(0)).tensor.double()
    mean = torch.cat([drawn.mean(0), torch.ones(1)])
    precision = torch.zeros(7, 7, dtype=torch.float64)
    precision[:6, :6] = torch.linalg.inv(torch.cov(drawn.T))
    precision[6, 6] = 100.0
    return mean, precision


@pytest.mark.parametrize("size", [6, 7])
@pytest.mark.parametrize("sigma", [0.02, 0.1, 0.4])
def test_the_penalised_fit_is_scipy_s(rows, prior, size, sigma):
    mean, precision = prior[0][:size], prior[1][:size, :size]
    _, _, signals = noisy_signals(rows, count=12, sigma=sigma)
    variance = torch.full((12, 1), sigma**2, dtype=torch.float64)
    found, restored = regularised_gauss_newton(signals, rows, mean, precision, variance, 60)
    design, weight, centre = rows.numpy(), precision.numpy(), mean.numpy()
    for index, signal in enumerate(signals.numpy()):

        def model(p):
            return (p[6] if size == 7 else 1.0) * np.exp(-design @ p[:6])

        def objective(p, signal=signal):
            penalty = sigma**2 * (p - centre) @ weight @ (p - centre)
            return ((signal - model(p)) ** 2).sum() + penalty

        best = minimize(objective, found[index].numpy(), method="Nelder-Mead").fun
        assert objective(found[index].numpy()) <= best * (1 + 1e-7)
        from_mean = minimize(objective, centre, method="BFGS", options={"gtol": 1e-7})
        np.testing.assert_allclose(found[index], from_mean.x, atol=1e-3)
        np.testing.assert_allclose(restored[index], model(found[index].numpy()), rtol=1e-9)


@pytest.mark.parametrize("size", [6, 7])
def test_the_penalised_fit_stops_where_the_gradient_is_zero(rows, prior, size):
    mean, precision = prior[0][:size], prior[1][:size, :size]
    _, _, signals = noisy_signals(rows, count=200, sigma=0.1)
    variance = torch.full((200, 1), 0.01, dtype=torch.float64)
    found, _ = regularised_gauss_newton(signals, rows, mean, precision, variance, 100)
    point = found.clone().requires_grad_()
    scale = point[:, 6:] if size == 7 else 1.0
    misfit = (signals - scale * tensor_signal(point[:, :6], rows)).square().sum()
    penalty = 0.01 * torch.einsum("bi,ij,bj->", point - mean, precision, point - mean)
    (gradient,) = torch.autograd.grad(misfit + penalty, point)
    assert gradient.abs().max() < 1e-8


def test_a_strong_prior_gives_its_mean_and_none_the_plain_fit(rows, prior):
    _, _, signals = noisy_signals(rows, count=10, sigma=0.02, highest=1.5)
    mean, precision = prior[0][:6], prior[1][:6, :6]
    variance = torch.full((10, 1), 4e-4, dtype=torch.float64)
    strong, _ = regularised_gauss_newton(signals, rows, mean, 1e9 * precision, variance, 20)
    torch.testing.assert_close(strong, mean.expand(10, 6), atol=1e-4, rtol=0)
    weak, _ = regularised_gauss_newton(signals, rows, mean, 1e-9 * precision, variance, 50)
    plain, _ = fit_non_linear(signals, rows, steps=100)
    torch.testing.assert_close(weak, plain, atol=1e-5, rtol=0)


def test_one_linear_step_is_ridge_regression(prior):
    """Where b is tiny, ``exp(-B d) = 1 - B d``: the answer is in closed form."""
    rng = np.random.default_rng(0)
    rows = torch.from_numpy(1e-4 * rng.normal(size=(32, 6)))
    signals = 1 - torch.from_numpy(rng.normal(size=(5, 32))) * 1e-4
    mean, precision = prior[0][:6], prior[1][:6, :6]
    variance = torch.full((5, 1), 1e-8, dtype=torch.float64)
    found, _ = regularised_gauss_newton(signals, rows, mean, precision, variance, 1)
    normal = rows.T @ rows + 1e-8 * precision
    right = rows.T @ (1 - signals).T + 1e-8 * (precision @ mean)[:, None]
    expected = torch.linalg.solve(normal, right).T
    assert expected.abs().max() < 4  # inside of the limits
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=0)


def test_the_noise_is_estimated_where_it_is_not_given(rows, prior):
    mean, precision = prior[0][:6], prior[1][:6, :6]
    tensors, scale, signals = noisy_signals(rows, count=2000, sigma=0.1)
    signals = signals / scale[:, None]
    errors = []
    for sign in (1.0, -1.0):
        variance = torch.full((2000, 1), sign * 0.01, dtype=torch.float64)
        found, _ = regularised_gauss_newton(signals, rows, mean, precision, variance, 15)
        errors.append((found - tensors).square().mean())
    plain, _ = fit_non_linear(signals, rows)
    # Known noise helps most; estimated noise still helps.
    assert errors[0] < errors[1] < 0.9 * (plain - tensors).square().mean()


@pytest.mark.parametrize("size", [6, 7])
def test_the_estimated_noise_is_the_residual_over_the_degrees_of_freedom(rows, prior, size):
    """Where the fit stands still, it is that of the noise ``RSS / (M - P)`` of its own residual."""
    mean, precision = prior[0][:size], prior[1][:size, :size]
    _, _, signals = noisy_signals(rows, count=50, sigma=0.1)
    unknown = torch.zeros(50, 1, dtype=torch.float64)
    found, fitted = regularised_gauss_newton(signals, rows, mean, precision, unknown, 300)
    variance = (signals - fitted).square().sum(1, keepdim=True) / (len(rows) - size)
    known, _ = regularised_gauss_newton(signals, rows, mean, precision, variance, 300)
    torch.testing.assert_close(found, known, rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [6, 7])
def test_the_penalised_fit_can_be_exported(rows, prior, size):
    mean, precision = prior[0][:size].float(), prior[1][:size, :size].float()
    _, _, signals = noisy_signals(rows, count=5)
    variance = torch.zeros(5, 1)
    scripted = torch.jit.script(regularised_gauss_newton)
    given = (signals.float(), rows.float(), mean, precision, variance, 5)
    for ours, theirs in zip(regularised_gauss_newton(*given), scripted(*given), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_clipping_moves_only_what_is_outside():
    tensors = torch.tensor([[-1.0, 1, 4, -2, 0.5, 2]])
    torch.testing.assert_close(clip_to_box(tensors), torch.tensor([[0.0, 1, 3, -1, 0.5, 1]]))
    torch.testing.assert_close(clip_to_box(clip_to_box(tensors)), clip_to_box(tensors))
