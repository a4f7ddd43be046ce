"""Calibration of the deviations that estimators of diffusion signals predict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from monai.networks.utils import eval_mode
from torch import Generator, Tensor

from custom.analysis.dwi.estimators import Estimates, SignalEstimator
from custom.analysis.dwi.samples import SignalSamples
from custom.networks.nets.signal_autoencoder import SignalAutoencoder

__all__ = ["calibration", "calibration_by_noise", "sampling_estimator"]


def sampling_estimator(
    network: SignalAutoencoder, samples: int = 32, seed: int = 0
) -> Callable[[Tensor, Tensor], Estimates]:
    """Return a variational autoencoder with the deviation of its outputs over sampled latents.

    Args:
        network: The autoencoder.
        samples: Draws of each signal's latents, at least 2.
        seed: Seed of the draws.
    """

    def estimate(noisy: Tensor, _: Tensor) -> Estimates:
        generator = Generator().manual_seed(seed)
        parameter = next(network.parameters())
        with torch.no_grad(), eval_mode(network):
            mean, log_variance = network.encode(noisy.to(parameter))
            chance = torch.randn((samples, *mean.shape), generator=generator).to(parameter)
            latents = mean + torch.exp(0.5 * log_variance) * chance
            drawn = network.decode(latents.flatten(0, 1)).reshape(samples, *noisy.shape)
            restored = network.decode(mean)
        return Estimates(restored.float().cpu(), None, drawn.std(0).float().cpu())

    return estimate


def calibration_by_noise(
    estimators: Sequence[SignalEstimator], samples: SignalSamples, sigmas: Sequence[float]
) -> list[dict[str, Any]]:
    """Compare predicted deviations with errors and with the posterior's.

    Args:
        estimators: Those that predict no deviation are left out.
        samples: The signals.
        sigmas: Noise levels above 0.

    Returns:
        Rows with ``sigma``, ``estimator``, ``quantity`` (``signal``, or ``tensor`` where no signals
        are estimated), and the numbers of :func:`calibration`. The last of each level is the
        posterior itself.
    """
    rows = []
    for level in map(samples.level, sigmas):
        whole = level.posterior.whole
        found = [(e.name, e.estimate(level.noisy, level.levels)) for e in estimators]
        found.append(("limit", Estimates(whole.signal, None, whole.signal_variance.sqrt())))
        for name, own in found:
            quantity = "tensor" if own.signal is None else "signal"
            truth, estimate = getattr(level.truth, quantity), getattr(own, quantity)
            if own.deviation is None or truth is None:
                continue
            best = getattr(whole, f"{quantity}_variance").sqrt()
            numbers = calibration(estimate, own.deviation, truth, best)
            row = {"sigma": level.sigma, "estimator": name, "quantity": quantity}
            rows.append(row | numbers)
    return rows


def calibration(
    estimate: Tensor, deviation: Tensor, truth: Tensor, best: Tensor
) -> dict[str, float]:
    """Return measures of the calibration of predicted deviations.

    Args:
        estimate: The estimates.
        deviation: Predicted standard deviations of their errors.
        truth: The true values.
        best: Standard deviations of the posterior.

    Returns:
        ``mean_squared_z``: mean of the squared error over the squared deviation, 1 if calibrated;
        ``within_1``, ``within_2``: shares of errors below one and two deviations, 0.683 and 0.954
        for Gaussian errors; ``correlation`` with the posterior's deviations; ``ratio``: root mean
        square of the predicted over that of the posterior's.

    Shape:
        All of one shape.
    """
    deviation, best = deviation.double().clamp_min(1e-12), best.double()
    z = (estimate.double() - truth.double()).abs() / deviation
    pair = torch.stack([deviation.flatten(), best.flatten()])
    return {
        "mean_squared_z": float(z.square().mean()),
        "within_1": float((z < 1).double().mean()),
        "within_2": float((z < 2).double().mean()),
        "correlation": float(torch.corrcoef(pair)[0, 1]),
        "ratio": float((deviation.square().mean() / best.square().mean()).sqrt()),
    }
