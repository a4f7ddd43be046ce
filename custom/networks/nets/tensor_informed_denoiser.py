"""A small network that corrects a classical tensor fit."""

# No postponed annotations here: TorchScript does not read those of a class.
from typing import Literal, Self

import torch
from torch import Tensor, nn
from torch.jit import is_scripting  # type: ignore[attr-defined]  # public, not listed

from custom.networks.stored_protocol import TrainedFor, keep_protocol, set_protocol
from custom.physics.diffusion.error_scales import expected_squared_error
from custom.physics.diffusion.tensor_fit import regularised_gauss_newton

__all__ = ["Head", "TensorInformedDenoiser"]

Head = Literal["signal", "tensor"]
_HEADS = ("signal", "tensor")
_FIT_STEPS = 3  # of Gauss-Newton, from the log-linear start; the network corrects the rest
_FIRST_VARIANT = 8  # of ``made_as``; smaller numbers are autoencoders
_LEAST_NOISE = 1e-3  # units of S_0
# Range of the logarithm of the predicted deviation, in units of the expected error.
_LOWEST, _HIGHEST = -3.0, 4.0


class TensorInformedDenoiser(nn.Module):
    r"""Posterior mean and deviation of diffusion signals, or of their tensor.

    A few Gauss-Newton steps, regularised by the prior's moments, give a tensor, its signals and the
    residual; two residual blocks turn these, the noisy signals and the noise level into a
    correction:

    .. math:: \hat y = y_\text{fit} + s\,h(\text{features}), \qquad
        s^2 = (1 / c \sigma^2 + 1 / V)^{-1} + m

    with the expected error ``s`` (:mod:`custom.physics.diffusion.error_scales`; ``m`` is the misfit
    of the tensor model), so that the network's outputs are of the order of one at every noise
    level. A second, small head predicts the deviation of the truth from the estimate, from detached
    features.

    Args:
        num_measurements: Signals of a voxel, ``M``.
        head: ``signal``: restored signals; ``tensor``: the six elements, in µm²/ms.
        width: Units of a layer.
        num_blocks: Residual blocks.
        with_sigma: Whether the noise level is given; otherwise it is estimated from the residual of
            the fit.
        with_scale: Whether ``S_0`` is fitted too, for signals in units of an estimate of it.

    Shape:
        ``signals``: ``(B, M)``; ``sigma``: ``(B, 1)``, both in units of ``S_0`` or its estimate;
        output: ``(B, 2 K)``, estimates and then their deviations, with ``K = M`` or 6.

    Raises:
        ValueError: If a number is less than 1, ``head`` is unknown, or, when called, ``sigma`` is
            missing.

    Source:
        docs/methods/dwi_vae.md, "Features".
    """

    b_rows: Tensor
    prior_mean: Tensor
    prior_precision: Tensor
    signal_bound: Tensor
    signal_variance: Tensor
    signal_misfit: Tensor
    tensor_bound: Tensor
    tensor_variance: Tensor

    def __init__(
        self,
        num_measurements: int = 32,
        head: Head = "signal",
        width: int = 96,
        num_blocks: int = 2,
        with_sigma: bool = True,
        with_scale: bool = False,
    ) -> None:
        super().__init__()
        if min(num_measurements, width, num_blocks) < 1:
            raise ValueError(
                "num_measurements, width and num_blocks must be at least 1, got "
                f"{num_measurements}, {width}, {num_blocks}"
            )
        if head not in _HEADS:
            raise ValueError(f"head must be one of {_HEADS}, got {head!r}")
        self.of_signal = head == "signal"
        self.fit_steps = _FIT_STEPS
        self.least_noise = _LEAST_NOISE
        self.log_range = (_LOWEST, _HIGHEST)
        self.with_sigma = with_sigma
        parameters = 7 if with_scale else 6
        outputs = num_measurements if self.of_signal else 6
        self.inputs = nn.Linear(3 * num_measurements + parameters + 2, width)
        self.blocks = nn.ModuleList([_Residual(width) for _ in range(num_blocks)])
        self.correction = nn.Linear(width, outputs)
        self.deviation = nn.Sequential(
            nn.Linear(width, width // 2 + 1), nn.SiLU(), nn.Linear(width // 2 + 1, outputs)
        )
        # Zero weights: the untrained network returns the fit.
        nn.init.zeros_(self.correction.weight)
        nn.init.zeros_(self.correction.bias)
        keep_protocol(self, num_measurements, _FIRST_VARIANT + with_sigma)
        # Rough values until fit_to; the paper's prior has a signal variance of 0.0243.
        self.register_buffer("prior_mean", torch.tensor([1.0] * 3 + [0.0] * 3 + [1.0])[:parameters])
        self.register_buffer("prior_precision", torch.eye(parameters))
        self.register_buffer("signal_bound", torch.tensor(parameters / num_measurements))
        self.register_buffer("signal_variance", torch.tensor(0.025))
        self.register_buffer("signal_misfit", torch.tensor(0.0))
        self.register_buffer("tensor_bound", torch.ones(6))
        self.register_buffer("tensor_variance", torch.ones(6))

    def fit_to(self, simulation: TrainedFor) -> Self:
        """Take over the protocol and the prior's moments, and return the network.

        Raises:
            ValueError: If the network was made for other signals.
        """
        set_protocol(self, simulation)
        scales = simulation.error_scales
        if scales.mean.shape != self.prior_mean.shape:
            raise ValueError(
                f"with_scale must be {len(scales.mean) == 7} for signals whose scale_rule is "
                f"{simulation.scale_rule!r}"
            )
        self.prior_mean.copy_(scales.mean)
        self.prior_precision.copy_(scales.precision)
        of_signal = ("signal_bound", "signal_variance", "signal_misfit")
        for name in (*of_signal, "tensor_bound", "tensor_variance"):
            getattr(self, name).copy_(getattr(scales, name))
        return self

    def forward(self, signals: Tensor, sigma: Tensor | None = None) -> Tensor:
        """Estimate.

        Args:
            signals: Noisy signals.
            sigma: Standard deviation of their noise; ignored without ``with_sigma``.
        """
        given = torch.zeros_like(signals[:, :1])
        if self.with_sigma:
            if sigma is None:
                raise ValueError("sigma must be given: the network was made with_sigma")
            given = sigma.clamp_min(self.least_noise)
        # The fit has no weights, so no graph is kept of its steps.
        with torch.no_grad():
            if is_scripting():
                features, start, error = self._features(signals, given)
            else:
                # The rounding error of half precision is larger than weak noise.
                with torch.autocast(signals.device.type, enabled=False):
                    features, start, error = self._features(signals, given)
        hidden = self.inputs(features)
        for block in self.blocks:
            hidden = block(hidden)
        mean = start + error * self.correction(hidden)
        log_deviation = self.deviation(hidden.detach()).clamp(self.log_range[0], self.log_range[1])
        return torch.cat([mean, error * torch.exp(log_deviation)], dim=1)

    def _features(self, signals: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the features, the fit to be corrected, and its expected error."""
        parameters, fitted = regularised_gauss_newton(
            signals,
            self.b_rows,
            self.prior_mean,
            self.prior_precision,
            sigma.square(),
            self.fit_steps,
        )
        residual = signals - fitted
        freedom = float(max(signals.shape[1] - parameters.shape[1], 1))
        rms = (residual.square().sum(1, keepdim=True) / freedom).sqrt().clamp_min(self.least_noise)
        noise = sigma if self.with_sigma else rms
        if self.of_signal:
            start = fitted
            expected = expected_squared_error(noise, self.signal_bound, self.signal_variance)
            error = (expected + self.signal_misfit).sqrt()
        else:
            start = parameters[:, :6]
            error = expected_squared_error(noise, self.tensor_bound, self.tensor_variance).sqrt()
        # Logarithms of noise: trained levels span up to two orders of magnitude.
        features = torch.cat(
            [signals, fitted, residual / noise, parameters, rms.log(), noise.log()], dim=1
        )
        return features, start, error


class _Residual(nn.Module):
    """Two layers whose result is added to their input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, width)
        self.second = nn.Linear(width, width)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return ``x + W2 silu(W1 silu(x))``."""
        inner = self.first(torch.nn.functional.silu(hidden))
        output: Tensor = hidden + self.second(torch.nn.functional.silu(inner))
        return output
