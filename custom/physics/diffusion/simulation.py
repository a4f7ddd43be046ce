"""Clean and noisy diffusion signals of a scan's protocol, drawn on the fly."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Generator, Tensor

from custom.physics.diffusion.error_scales import ErrorScales, error_scales_of
from custom.physics.diffusion.gradient_table import UNWEIGHTED_UP_TO, GradientTable
from custom.physics.diffusion.noise import LevelDistribution, NoiseModel
from custom.physics.diffusion.noise_estimate import SCALE_RULES, ScaleRule, estimate_scale
from custom.physics.diffusion.priors import SignalPrior

__all__ = ["SignalSimulation"]

# Least estimate of S_0 that signals are divided by, in units of the true one.
# Needed, since strong noise can bring an estimate to 0.
_LEAST_SCALE = 0.2
_SAMPLES = 20_000  # of the prior: moments to about 1 %
_LEAST_SCALE_VARIANCE = 1e-3  # the precision, its inverse, must stay finite


class SignalSimulation:
    """Everything that a simulated signal depends on: protocol, prior, noise and its levels.

    Args:
        table: Gradient table of the scan.
        prior: Distribution of noiseless signals.
        noise: Noise model.
        levels: Distribution of the noise's standard deviation, in units of ``S_0``.
        scale_rule: ``known``: signals are in units of ``S_0``, as in the paper. ``b0``: they are
            divided by the mean of their own noisy b <= 50 measurements, as a scan's must be, so
            that the error of this estimate is part of the noise.

    Raises:
        ValueError: If ``scale_rule`` is unknown.
        ValueError: If it is ``b0`` and the protocol has no such
            measurement.

    Source:
        docs/methods/dwi_vae.md, "Simulation".
    """

    def __init__(
        self,
        table: GradientTable,
        prior: SignalPrior,
        noise: NoiseModel,
        levels: LevelDistribution,
        scale_rule: ScaleRule = "known",
    ) -> None:
        if scale_rule not in SCALE_RULES:
            raise ValueError(f"scale_rule must be one of {SCALE_RULES}, got {scale_rule!r}")
        if scale_rule == "b0" and not table.unweighted.any():
            raise ValueError(
                f"scale_rule b0 needs a volume of b <= {UNWEIGHTED_UP_TO:g} s/mm²: there is none"
            )
        self.table = table
        self.prior = prior
        self.noise = noise
        self.levels = levels
        self.scale_rule: ScaleRule = scale_rule
        self.b_rows = table.b_rows
        self.unweighted = torch.from_numpy(table.unweighted)

    def draw(self, count: int, generator: Generator) -> dict[str, Tensor]:
        """Draw signals of the prior, with noise.

        Args:
            count: Number of signals.
            generator: Random generator; its device is that of the signals.

        Returns:
            As :meth:`add_noise`.
        """
        drawn = self.prior.draw(count, self.b_rows, generator)
        return self.add_noise(
            drawn.signal, drawn.tensor, self.levels.draw(count, generator), generator
        )

    def add_noise(
        self, signal: Tensor, tensor: Tensor | None, sigma: Tensor, generator: Generator
    ) -> dict[str, Tensor]:
        """Add noise to clean signals, and scale both.

        Args:
            signal: Clean signals ``(n, M)`` in units of ``S_0``.
            tensor: Their tensors, ``(n, 6)``; None for other signals.
            sigma: Standard deviations ``(n, 1)`` in units of ``S_0``.
            generator: Random generator.

        Returns:
            ``image``: noisy signals ``(n, M)``; ``label``: clean ones; ``sigma``: ``(n, 1)``, all
            three in the unit of ``scale_rule``; ``tensor``: ``(n, 6)`` in µm²/ms, if there is one.
        """
        noisy = self.noise.add(signal, sigma, generator)
        if self.scale_rule == "b0":
            scale = estimate_scale(noisy, self.b_rows, self.unweighted.to(noisy.device), "b0")
            scale = scale.clamp_min(_LEAST_SCALE).unsqueeze(1)
            noisy, signal, sigma = noisy / scale, signal / scale, sigma / scale
        batch = {"image": noisy, "label": signal, "sigma": sigma}
        return batch if tensor is None else batch | {"tensor": tensor}

    def state_dict(self) -> dict[str, Any]:
        """Return protocol and scale rule, for a checkpoint of a training."""
        return {"b_rows": self.b_rows, "scale_rule": self.scale_rule}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Compare with protocol and scale rule of the training that is resumed.

        Raises:
            ValueError: If they were of another protocol or in other units.
        """
        same = self.b_rows.shape == state["b_rows"].shape and torch.allclose(
            self.b_rows, state["b_rows"].to(self.b_rows), atol=1e-4
        )
        if not same or state["scale_rule"] != self.scale_rule:
            raise ValueError("it was of another protocol or scale_rule: give its --bval and --bvec")

    @cached_property
    def error_scales(self) -> ErrorScales:
        """Scales of expected errors, and moments of the prior, from a fixed set of draws."""
        # A fixed seed: trainings with other seeds are measured by the same scales.
        drawn = self.prior.draw(_SAMPLES, self.b_rows, torch.Generator().manual_seed(0))
        scale_variance = self._scale_variance() if self.scale_rule == "b0" else None
        return error_scales_of(
            drawn.signal, drawn.tensor, self.b_rows, self.prior.num_parameters, scale_variance
        )

    def _scale_variance(self) -> float:
        """Return the variance of the true scale, in units of its estimate."""
        drawn = self.draw(_SAMPLES, torch.Generator().manual_seed(1))
        unit = drawn["label"][:, self.unweighted].double().mean(1)
        # Robust: at the strongest noise the estimate itself can be near zero.
        # Half the distance of these two quantiles is the deviation of a normal distribution.
        low, high = torch.quantile(unit, torch.tensor([0.16, 0.84], dtype=torch.float64)).tolist()
        return float(max(((high - low) / 2) ** 2, _LEAST_SCALE_VARIANCE))
