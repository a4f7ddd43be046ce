"""Which settings of a restoration along the path are refused or warned of."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
import torch

from custom.inferers.anchored_path_inferer import AnchoredPathInferer
from custom.networks.schedulers.anchored_path import AnchoredPathScheduler
from custom.networks.schedulers.residual_noise import ResidualNoise

NOISE = ResidualNoise(SimpleNamespace(residuals=torch.eye(4)[None] - 0.25, rms=1.0))
SCAN = torch.linspace(0, 1, 56).view(1, 1, 8, 7)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"num_inference_steps": 0}, "num_inference_steps"),
        ({"num_inference_steps": 101}, "num_inference_steps"),
        ({"noise_scale": -1.0}, "noise_scale"),
        ({"noise_scale": float("nan")}, "noise_scale"),
        ({"noise_scale": 1.0}, "noise must be given"),
        ({"noise_scale": "strong"}, "noise_scale must be 0 or more, got 'strong'"),
        ({"num_samples": 0}, "num_samples"),
        ({"num_samples": 2.5}, "num_samples must be a whole number"),
        ({"num_samples": 4, "noise": NOISE}, "num_samples 4 needs noise"),
        (
            {"num_samples": 4, "noise": NOISE, "noise_scale": 1.0} | {"num_inference_steps": 1},
            "num_inference_steps of 2",
        ),
        ({"slices_per_batch": 0}, "slices_per_batch"),
        ({"form": "unit"}, "form"),
    ],
)
def test_wrong_settings_are_named(options, match):
    with pytest.raises(ValueError, match=match):
        AnchoredPathInferer(AnchoredPathScheduler(100), **options)


@pytest.mark.parametrize(
    ("parameterisation", "profile", "steps", "warnings"),
    [
        ("noise_schedule", "parabola", 1, 1),
        ("noise_schedule", "sine", 1, 1),
        ("noise_schedule", "constant", 1, 0),
        ("noise_schedule", "parabola", 2, 0),
        ("path", "parabola", 1, 0),
    ],
)
def test_a_restoration_that_does_nothing_is_said(
    parameterisation, profile, steps, warnings, caplog
):
    scheduler = AnchoredPathScheduler(10, 0.1, profile, parameterisation)
    with caplog.at_level(logging.WARNING):
        inferer = AnchoredPathInferer(scheduler, steps)
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * warnings
    restored = inferer(SCAN, lambda x, _: torch.ones_like(x))
    assert torch.allclose(restored, SCAN) == bool(warnings)


@pytest.mark.parametrize("shape", [(1, 2, 5, 5), (5, 5), (1, 1, 2, 2, 2, 2)])
def test_wrong_shapes_are_named(shape):
    with pytest.raises(ValueError, match="inputs"):
        AnchoredPathInferer(AnchoredPathScheduler())(torch.rand(shape), lambda x, _: x)
