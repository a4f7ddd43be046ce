"""Gaussian paths: one list of requirements for all, closed forms and MONAI for some."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from monai.networks.schedulers import DDIMScheduler, DDPMScheduler, RFlowScheduler

from custom.networks.schedulers.anchored_path import AnchoredPathScheduler
from custom.networks.schedulers.gaussian_path import GaussianPath
from custom.networks.schedulers.gaussian_schedules import SCHEDULES

PATHS = {name: (lambda name=name: GaussianPath(name, 40, "clean")) for name in SCHEDULES} | {
    "anchored": lambda: AnchoredPathScheduler(40, 0.2)
}
every_path = pytest.mark.parametrize("path", [make() for make in PATHS.values()], ids=PATHS)


def at(*steps):
    return torch.tensor(steps)


def pair(count=1, seed=0):
    """Clean images and their degraded ones."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, count, 1, 4, 4, generator=generator, dtype=torch.float64)


def noise_like(image, seed=9):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(image.shape, generator=generator, dtype=image.dtype)


@every_path
def test_a_path_begins_at_the_clean_image(path):
    clean, anchor = pair()
    mean, std = path.moments(clean, anchor, at(0))
    assert torch.equal(mean, clean)
    assert std.item() == 0
    steps = path.timesteps(7)
    assert (len(steps), steps[0]) == (7, path.num_steps)
    assert (steps.diff() < 0).all()
    assert not path.state_dict()


@pytest.mark.parametrize("name", ["straight", "brownian_bridge", "resshift", "anchored"])
def test_a_path_ends_at_the_degraded_image(name):
    path, (clean, anchor) = PATHS[name](), pair()
    mean, _ = path.moments(clean, anchor, at(40))
    share = 1e-3 if name == "resshift" else 0
    torch.testing.assert_close(mean, anchor + share * (clean - anchor))


@every_path
@pytest.mark.parametrize("with_noise", [False, True])
@pytest.mark.parametrize("count", [1, 3, 40])
def test_who_knows_the_clean_image_gives_it_back(path, with_noise, count):
    clean, anchor = pair()
    mean, std = path.moments(clean, anchor, at(path.num_steps))
    x = mean + std * noise_like(clean)
    steps = [*path.timesteps(count).tolist(), 0]
    for t, u in itertools.pairwise(steps):
        noise = noise_like(clean, seed=t) if with_noise and u else None
        x = path.step_back(x, clean, at(t), at(u), noise, anchor)
    torch.testing.assert_close(x, clean, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("with_noise", [False, True])
@pytest.mark.parametrize(("start", "end"), [(40, 39), (40, 10), (25, 1), (2, 1)])
@pytest.mark.parametrize("name", SCHEDULES)
def test_a_step_back_keeps_the_moments_of_the_path(name, start, end, with_noise):
    """Exactly: the step is affine, so its gain on the noise and its own noise are read off."""
    path, (clean, anchor) = PATHS[name](), pair()
    mean, std = path.moments(clean, anchor, at(start))
    expected, end_std = path.moments(clean, anchor, at(end))
    zero, one = torch.zeros_like(clean), torch.ones_like(clean)
    back = path.step_back(mean, clean, at(start), at(end), zero if with_noise else None, anchor)
    torch.testing.assert_close(back, expected, rtol=1e-12, atol=1e-12)
    kept = path.step_back(zero + std, zero, at(start), at(end), zero if with_noise else None, zero)
    added = path.step_back(zero, zero, at(start), at(end), one, zero) if with_noise else zero
    variance = kept.square() + added.square()
    if not std.any() and not with_noise:
        end_std = zero  # no noise to begin with
    torch.testing.assert_close(variance, end_std.square() + zero, rtol=1e-12, atol=1e-15)


@every_path
def test_moments_are_those_of_the_forward_chain_by_simulation(path):
    """Within five standard errors; the links are those whose posterior the step back takes."""
    draws, stop = 40_000, 10
    generator = torch.Generator().manual_seed(4)
    clean, anchor = torch.tensor([[-1.0]]).double(), torch.tensor([[2.0]]).double()
    x = clean.expand(draws, 1)
    for t in range(1, stop + 1):
        noise = torch.randn(draws, 1, generator=generator, dtype=torch.float64)
        if isinstance(path, AnchoredPathScheduler):
            x = path.step_forward(x, anchor - clean, noise, at(t))
            continue
        gain = path.memory[t] / path.memory[t - 1]
        before, after = (path.moments(clean, anchor, at(u))[0] for u in (t - 1, t))
        std = (path.noise_std[t] ** 2 - (gain * path.noise_std[t - 1]) ** 2).sqrt()
        x = after + gain * (x - before) + std * noise
    mean, std = path.moments(clean, anchor, at(stop))
    assert abs(x.mean() - mean) < 5 * std / draws**0.5
    assert abs(x.std() / std - 1) < 5 / (2 * draws) ** 0.5


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("prediction", ["clean", "residual", "noise"])
def test_a_perfect_prediction_gives_the_clean_image(name, prediction):
    last = None if name in ("ddpm_linear", "cosine", "resshift") else 10
    path, (clean, anchor) = GaussianPath(name, 40, prediction, last), pair(3)
    step, noise = at(1, 4, 10), noise_like(clean)
    mean, std = path.moments(clean, anchor, step)
    perfect = {"clean": clean, "residual": anchor - clean, "noise": noise}[prediction]
    estimate = path.estimate_clean(mean + std * noise, perfect, step, anchor)
    torch.testing.assert_close(estimate, clean, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_images_keep_their_type_and_samples_do_not_mix(dtype):
    path = GaussianPath("straight", 10)
    clean, anchor = pair(2)[:, :, :, :2].to(dtype)
    step, back = at(10, 4), at(5, 1)

    def everything(part):
        images = clean[part], anchor[part]
        return [
            *path.moments(*images, step[part]),
            path.estimate_clean(*images, step[part], anchor[part]),
            path.step_back(*images, step[part], back[part], clean[part], anchor[part]),
        ]

    for whole, first in zip(everything(slice(2)), everything(slice(1)), strict=True):
        assert whole.dtype == dtype
        assert torch.equal(whole[:1], first)


# ---------------------------------------------------------------- closed forms, and MONAI


@pytest.mark.parametrize(("t", "u"), [(15, 14), (15, 10), (7, 2), (1, 0)])
def test_resshift_has_its_published_posterior(t, u):
    """Yue et al. 2023, equation 7: mean and variance of x_u given x_t and x_0."""
    kappa, path = 2.0, GaussianPath("resshift", 15, "clean")
    root = [0, *(0.02 * (math.sqrt(0.999) / 0.02) ** ((k / 14) ** 0.3) for k in range(15))]
    eta, eta_u = root[t] ** 2, root[u] ** 2
    alpha = eta - eta_u
    x, clean, anchor = (noise_like(torch.zeros(1, 1, 3, 3).double(), k) for k in range(3))
    zero = torch.zeros_like(x)
    mean = path.step_back(x, clean, at(t), at(u), zero, anchor)
    torch.testing.assert_close(mean, eta_u / eta * x + alpha / eta * clean)
    std = path.step_back(zero, zero, at(t), at(u), zero + 1, zero)
    torch.testing.assert_close(std, zero + kappa * math.sqrt(eta_u / eta * alpha))


@pytest.mark.parametrize("t", [1000, 601, 2, 1])
def test_one_ddpm_step_is_that_of_monai(t):
    path, theirs = GaussianPath("ddpm_linear", 1000, "noise"), _monai(DDPMScheduler)
    clean, noise, predicted = (noise_like(torch.zeros(1, 1, 8, 8).double(), k) for k in range(3))
    mean, std = path.moments(clean, clean, at(t))
    x = mean + std * noise
    torch.testing.assert_close(x, theirs.add_noise(clean, noise, at(t - 1)))
    expected, _ = theirs.step(predicted, t - 1, x, generator=torch.Generator().manual_seed(9))
    drawn = torch.randn(x.shape, generator=torch.Generator().manual_seed(9), dtype=x.dtype)
    estimate = path.estimate_clean(x, predicted, at(t))
    ours = path.step_back(x, estimate, at(t), at(t - 1), drawn if t > 1 else None)
    torch.testing.assert_close(ours, expected)


def test_one_ddim_step_is_that_of_monai_but_not_its_time_steps():
    path, theirs = GaussianPath("ddpm_linear", 1000, "noise"), _monai(DDIMScheduler)
    theirs.set_timesteps(10)
    x, predicted = (noise_like(torch.zeros(1, 1, 8, 8).double(), k) for k in range(2))
    expected, _ = theirs.step(predicted, 600, x, eta=0.0)
    estimate = path.estimate_clean(x, predicted, at(601))
    torch.testing.assert_close(path.step_back(x, estimate, at(601), at(501)), expected)
    # MONAI steps from 999 to 899, and tells the network 888.
    assert theirs.timesteps[:2].tolist() == [999, 888]
    assert path.timesteps(10)[:2].tolist() == [1000, 900]


def test_one_straight_step_is_that_of_monais_rectified_flow():
    path = GaussianPath("straight", 1000, "clean", noise_std=0.15)
    theirs = RFlowScheduler(num_train_timesteps=1000, use_discrete_timesteps=False)
    theirs.set_timesteps(4, input_img_size_numel=64)
    clean, anchor, noise, estimate = (noise_like(torch.zeros(1, 1, 8, 8), k) for k in range(4))
    mean, std = path.moments(clean, anchor, at(750))
    x = mean + std * noise
    end = anchor + 0.15 * noise
    torch.testing.assert_close(x, theirs.add_noise(clean, end, torch.tensor([750.0])))
    expected, _ = theirs.step((estimate - x) / 0.75, 750.0, x, 500.0)
    torch.testing.assert_close(
        path.step_back(x, estimate, at(750), at(500), None, anchor), expected
    )


@pytest.mark.parametrize(("t", "u"), [(10, 9), (10, 4), (7, 0)])
def test_a_step_of_the_anchored_path_is_the_straight_one_without_noise(t, u):
    x, clean, anchor = (noise_like(torch.zeros(1, 1, 4, 4).double(), k) for k in range(3))
    anchored = AnchoredPathScheduler(10, 0.2).step_back(x, clean, at(t), at(u))
    straight = GaussianPath("straight", 10).step_back(x, clean, at(t), at(u), None, anchor)
    torch.testing.assert_close(straight, anchored, rtol=1e-6, atol=1e-6)


def _monai(scheduler):
    """A scheduler with tables in double precision: its own lose three digits at the last steps."""
    made = scheduler(1000, "linear_beta", beta_start=1e-4, beta_end=2e-2, clip_sample=False)
    made.betas = torch.linspace(1e-4, 2e-2, 1000, dtype=torch.float64)
    made.alphas = 1 - made.betas
    made.alphas_cumprod = made.alphas.cumprod(0)
    return made


def test_the_cosine_is_monais_but_for_the_last_step():
    path = GaussianPath("cosine", 1000, "clean", noise_variance=0.3)
    theirs = DDPMScheduler(1000, "cosine").alphas_cumprod.double()
    found = path.clean_gain.square()
    torch.testing.assert_close(found[1:-1], theirs[:-1], rtol=1e-4, atol=1e-7)
    # Nichol and Dhariwal cut beta at 0.999, MONAI at 0.9999.
    assert found[-1] / found[-2] == pytest.approx(0.001)
    torch.testing.assert_close(path.noise_std.square(), 0.3 * (1 - found))


# ---------------------------------------------------------------- errata


def test_the_thesis_posterior_needs_its_beta_and_its_prefactor():
    """Equations 7.18 to 7.19 and chapter 10: corrected they hold, those of the thesis fail."""
    t, path = 500, GaussianPath("ddpm_linear", 1000, "noise")
    beta = torch.linspace(1e-4, 2e-2, 1000, dtype=torch.float64)
    alpha, bar = 1 - beta[t - 1], (1 - beta).cumprod(0)
    x, predicted = (noise_like(torch.zeros(1, 1, 4, 4).double(), k) for k in range(2))
    zero = torch.zeros_like(x)
    estimate = path.estimate_clean(x, predicted, at(t))
    mean = path.step_back(x, estimate, at(t), at(t - 1), zero)

    def formula(prefactor, numerator):
        return (x - numerator / (1 - bar[t - 1]).sqrt() * predicted) / prefactor.sqrt()

    torch.testing.assert_close(mean, formula(alpha, 1 - alpha))
    for printed in (formula(bar[t - 1], 1 - alpha), formula(alpha, 1 - bar[t - 1])):
        assert (printed - mean).abs().max() > 0.1
    variance = path.step_back(zero, zero, at(t), at(t - 1), zero + 1).square()[0, 0, 0, 0]
    printed = (1 - bar[t - 2]) / (1 - bar[t - 1])
    torch.testing.assert_close(variance, printed * beta[t - 1])
    assert printed > 50 * variance


def test_with_alpha_for_its_product_the_end_would_be_the_clean_image():
    path = GaussianPath("ddpm_linear", 1000, "clean")
    assert path.clean_gain[-1] < 0.01
    assert path.clean_gain[-1] / path.clean_gain[-2] > 0.98  # the thesis: root of alpha_T


def test_the_product_of_cosines_is_zero_long_before_its_end():
    path = GaussianPath("cosine_product", 1000, "clean")
    found = path.clean_gain[[50, 100, 200, 300]].square().tolist()
    assert found == pytest.approx([0.8994, 0.4330, 1.236e-3, 1.207e-10], rel=1e-3)
    with pytest.raises(ValueError, match=r"prediction noise .* from step 491 .* to 222 or less"):
        GaussianPath("cosine_product", 1000, "noise")
    assert GaussianPath("cosine_product", 1000, "noise", last_step=222).num_steps == 222


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"schedule": "sigmoid"}, "schedule must be one of ddpm_linear"),
        ({"prediction": "velocity"}, "prediction must be one of"),
        ({"num_steps": 1}, "num_steps"),
        ({"last_step": 101}, "last_step"),
        ({"last_step": 0}, "last_step"),
        ({"kappa": 1.0}, "schedule straight must be one of noise_std, got 'kappa'"),
        ({"noise_std": -1}, "noise_std"),
        ({"schedule": "resshift", "kappa": 0}, "kappa"),
        ({"schedule": "cosine", "noise_variance": 0}, "noise_variance"),
        ({"prediction": "noise"}, "last_step to 99 or less"),
        ({"schedule": "brownian_bridge", "prediction": "noise"}, "from step 100 on"),
    ],
)
def test_bad_settings_are_one_line(arguments, message):
    with pytest.raises(ValueError, match=message):
        GaussianPath(**arguments)


def test_a_path_to_the_degraded_image_needs_it():
    path, image = GaussianPath("straight", 10), torch.zeros(1, 1, 2, 2)
    for call in (
        lambda: path.estimate_clean(image, image, at(10)),
        lambda: path.step_back(image, image, at(10), at(5), image),
    ):
        with pytest.raises(ValueError, match="anchor must be given"):
            call()
