from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer
from scipy.stats import chisquare

from custom.engines.diffusion_batch import AnchoredPathPrepareBatch, DiffusionPrepareBatch
from custom.inferers.clean_estimate import CleanEstimate
from custom.networks.nets.time_conditioned_unet import TimeConditionedUNet
from custom.networks.schedulers.anchored_path import AnchoredPathScheduler
from custom.networks.schedulers.gaussian_path import GaussianPath
from custom.networks.schedulers.residual_noise import ResidualNoise
from custom.physics.image_moments import standardise


def bank(rms: float = 1.0) -> SimpleNamespace:
    """A dozen residuals of white noise."""
    residuals = torch.randn(12, 8, 8, generator=torch.Generator().manual_seed(1))
    residuals -= residuals.mean()
    return SimpleNamespace(residuals=residuals / residuals.std(correction=0), rms=rms)


def pairs(samples: int) -> dict[str, torch.Tensor]:
    """The same pair many times; its moments are not those of what the batch has of it."""
    generator = torch.Generator().manual_seed(2)
    label = torch.rand(1, 1, 8, 8, generator=generator).expand(samples, -1, -1, -1)
    residual = 0.3 * torch.randn(1, 1, 8, 8, generator=generator)
    moments = torch.tensor([[1.0, 0.5]]).expand(samples, -1)
    return {"image": label + residual, "label": label, "image_moments": moments}


def test_places_on_the_path_have_the_moments_of_the_forward_chain():
    """Against steps taken link by link, in mean and variance of every step, by five s.e."""
    scheduler = AnchoredPathScheduler(num_steps=4, end_std=0.5, noise_profile="sine")
    noise, samples = ResidualNoise(bank()), 8000
    torch.manual_seed(0)
    batch = pairs(samples)
    x_t, clean, (step,), kwargs = AnchoredPathPrepareBatch(scheduler, noise)(batch)
    moments = batch["image_moments"]
    torch.testing.assert_close(clean, standardise(batch["label"], moments))
    torch.testing.assert_close(kwargs, {"anchor": standardise(batch["image"], moments)})
    residual = kwargs["anchor"] - clean

    chain, offset = clean, noise.draw_offset(clean.shape)
    for t in range(1, 5):
        e = noise.draw(clean.shape, offset=offset)
        chain = scheduler.step_forward(chain, residual, e, torch.full((samples,), t))
        drawn = x_t[step == t]
        for one, other in (
            (drawn, chain),
            ((drawn - chain.mean(0)) ** 2, (chain - chain.mean(0)) ** 2),
        ):
            error = (one.var(0) / len(one) + other.var(0) / len(other)).sqrt()
            assert ((one.mean(0) - other.mean(0)).abs() < 5 * error).all(), t
        expected = (clean + t / 4 * residual)[0]
        assert ((drawn.mean(0) - expected).abs() < 5 * drawn.std(0) / len(drawn) ** 0.5).all()


def test_the_noise_as_target_is_that_of_the_image():
    path, batch = GaussianPath("ddpm_linear", 50, "noise"), pairs(6)
    x_t, noise, (step,), more = DiffusionPrepareBatch(path, target="noise")(batch)
    mean, std = path.moments(batch["label"], batch["image"], step)
    torch.testing.assert_close(mean + std * noise, x_t)

    def network(seen, position):
        return 2 * noise

    predicted = CleanEstimate(path, target="noise")(x_t, network, step, **more)
    assert torch.equal(predicted, 2 * noise)
    known = CleanEstimate(path)(x_t, lambda seen, position: noise, step, **more)
    torch.testing.assert_close(known, batch["label"], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("part", [DiffusionPrepareBatch, CleanEstimate])
def test_noise_is_no_target_of_a_network_that_predicts_something_else(part):
    with pytest.raises(ValueError, match="target noise needs prediction noise, got residual"):
        part(GaussianPath("straight", 10), target="noise")
    with pytest.raises(ValueError, match="target must be one of clean, noise"):
        part(GaussianPath("straight", 10), target="nois")


def test_a_gaussian_path_is_drawn_about_the_middle_slice_by_five_standard_errors():
    path, samples = GaussianPath("straight", 4, noise_std=0.5), 8000
    generator = torch.Generator().manual_seed(0)
    label, *slices = torch.randn(4, 1, 1, 3, 3, generator=generator).expand(-1, samples, -1, -1, -1)
    torch.manual_seed(0)
    batch = {"label": label, "image": torch.cat(slices, dim=1)}
    x_t, clean, (step,), kwargs = DiffusionPrepareBatch(path, end_share=0.5)(batch)
    assert clean is label
    assert kwargs["anchor"] is batch["image"]
    for t in range(1, 5):
        drawn, count = x_t[step == t].double(), int((step == t).sum())
        mean = (1 - t / 4) * label[0] + t / 4 * slices[1][0]
        std = 0.5 * t / 4
        assert ((drawn.mean(0) - mean).abs() < 5 * std / count**0.5).all()
        assert ((drawn.std(0) / std - 1).abs() < 5 / (2 * count) ** 0.5).all()


def test_steps_are_uniform_and_never_zero():
    scheduler = AnchoredPathScheduler(num_steps=10, end_std=0.1)
    torch.manual_seed(0)
    prepare = AnchoredPathPrepareBatch(scheduler, ResidualNoise(bank()))
    _, _, (step,), _ = prepare(pairs(5000))
    assert step.dtype == torch.int64
    counts = torch.bincount(step, minlength=11)
    assert counts[0] == 0
    assert len(counts) == 11
    assert chisquare(counts[1:]).pvalue > 1e-4


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_share_of_the_samples_lies_at_the_end(share):
    """P(t = T) is share + (1 - share) / T; the others stay uniform."""
    scheduler, samples = AnchoredPathScheduler(num_steps=10, end_std=0.1), 5000
    torch.manual_seed(0)
    prepare = AnchoredPathPrepareBatch(scheduler, ResidualNoise(bank()), end_share=share)
    _, _, (step,), _ = prepare(pairs(samples))
    expected = [samples * (1 - share) / 10] * 9 + [samples * (share + (1 - share) / 10)]
    counts = torch.bincount(step, minlength=11)[1:].tolist()
    for count, mean in zip(counts, expected, strict=True):
        assert abs(count - mean) <= 5 * (mean * (1 - mean / samples)) ** 0.5


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan"), "abc"])
def test_a_share_outside_0_to_1_is_refused(share):
    with pytest.raises(ValueError, match="end_share"):
        AnchoredPathPrepareBatch(AnchoredPathScheduler(), ResidualNoise(bank()), end_share=share)


def test_a_seed_repeats_the_batch_and_the_next_differs():
    prepare = AnchoredPathPrepareBatch(AnchoredPathScheduler(), ResidualNoise(bank()))
    torch.manual_seed(5)
    first, other = prepare(pairs(3)), prepare(pairs(3))
    torch.manual_seed(5)
    again = prepare(pairs(3))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[2][0], again[2][0])
    assert not torch.equal(first[0], other[0])


def test_a_label_with_moments_of_its_own_is_standardised_by_them():
    prepare = AnchoredPathPrepareBatch(AnchoredPathScheduler(), ResidualNoise(bank()))
    batch = pairs(2) | {"label_moments": torch.tensor([[0.2, 4.0], [0.3, 2.0]])}
    _, clean, _, _ = prepare(batch)
    torch.testing.assert_close(clean, standardise(batch["label"], batch["label_moments"]))


def test_too_much_noise_is_said_once(caplog: pytest.LogCaptureFixture):
    scheduler = AnchoredPathScheduler(num_steps=100, end_std=0.1)
    for rms, expected in ((1.0, 1), (10.0, 0)):  # critical: 0.073 and 0.73
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            prepare = AnchoredPathPrepareBatch(scheduler, ResidualNoise(bank(rms)))
            for _ in range(3):
                prepare(pairs(2))
        assert len(caplog.records) == expected


def test_a_batch_without_moments_is_an_error():
    prepare = AnchoredPathPrepareBatch(AnchoredPathScheduler(), ResidualNoise(bank()))
    batch = pairs(2)
    del batch["image_moments"]
    with pytest.raises(KeyError, match="image_moments"):
        prepare(batch)


# Not noise_schedule: what its prediction cannot reach at t = T stays in the loss.
@pytest.mark.parametrize("parameterisation", ["path", "scaled_path"])
def test_a_trainer_overfits_one_batch(parameterisation: str):
    """The whole training step: places on the path, estimate, loss. It falls by 90 %."""
    torch.manual_seed(0)
    scheduler = AnchoredPathScheduler(20, end_std=0.05, parameterisation=parameterisation)
    network = TimeConditionedUNet((16, 32), embedding=16)
    losses: list[float] = []
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=[pairs(8)] * 120,
        network=network,
        optimizer=torch.optim.Adam(network.parameters(), lr=1e-2),
        loss_function=torch.nn.MSELoss(),
        prepare_batch=AnchoredPathPrepareBatch(scheduler, ResidualNoise(bank())),
        inferer=CleanEstimate(scheduler),
        decollate=False,
    )
    trainer.add_event_handler(
        Events.ITERATION_COMPLETED, lambda engine: losses.append(engine.state.output["loss"].item())
    )
    trainer.run()
    assert sum(losses[-20:]) < 0.1 * sum(losses[:20])
