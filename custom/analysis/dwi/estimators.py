"""Common interface of estimators of diffusion signals or of their tensor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from monai.networks.utils import eval_mode
from torch import Tensor, nn

from custom.errors import InputError
from custom.networks.stored_protocol import B_ROWS, SCALE_RULE
from custom.physics.diffusion.gradient_table import GradientTable
from custom.physics.diffusion.noise_estimate import SCALE_RULES, ScaleEstimate, estimate_scale
from custom.physics.diffusion.tensor import tensor_signal
from custom.physics.diffusion.tensor_fit import clip_to_box, fit_log_linear, fit_non_linear

__all__ = [
    "Estimates",
    "SignalEstimator",
    "classical_estimators",
    "network_estimator",
    "refit",
    "restore_scaled",
]

_LEAST_SCALE = 0.05  # smallest estimate of S_0, in units of the true one: it is divided by
# Of the logarithm, units of S_0: nearest to the paper's table (docs/methods/dwi_vae.md).
_FLOOR = 0.01
# Signals at once, so that memory does not grow with their number.
_ROWS = 16384


@dataclass(frozen=True)
class Estimates:
    """Estimates from noisy signals.

    Attributes:
        signal: ``(n, M)`` in units of ``S_0``, if it gives signals.
        tensor: ``(n, 6)`` in µm²/ms, if it gives tensors; otherwise they are refitted.
        deviation: Predicted standard deviation, of the signals or, where there are none, of the
            tensor.
    """

    signal: Tensor | None
    tensor: Tensor | None = None
    deviation: Tensor | None = None

    def tensors(self, b_rows: Tensor) -> Tensor:
        """Return the tensors, fitted to the signals where an estimator gives signals only."""
        if self.tensor is not None:
            return self.tensor
        if self.signal is None:
            raise ValueError("an estimator must give signals or tensors")
        return refit(self.signal, b_rows)


@dataclass(frozen=True)
class SignalEstimator:
    """An estimator with its name.

    Attributes:
        name: Name in tables and figures.
        estimate: Function of noisy signals ``(n, M)`` and noise levels ``(n, 1)``, in units of
            ``S_0``.
        most_signals: Number of signals that a slow estimator is limited to.
    """

    name: str
    estimate: Callable[[Tensor, Tensor], Estimates]
    most_signals: int | None = None


def refit(signals: Tensor, b_rows: Tensor) -> Tensor:
    """Return the tensors of estimated signals, as all tables do: WLS, floor 0.01, ``S_0`` = 1.

    Shape:
        ``signals``: ``(n, M)``; output: ``(n, 6)`` in µm²/ms.
    """
    return fit_log_linear(signals.double(), b_rows.double(), floor=_FLOOR)[0].float()


def classical_estimators(
    table: GradientTable, dipy_signals: int | None = 250
) -> list[SignalEstimator]:
    """Return the estimators that need no training.

    Args:
        table: The protocol.
        dipy_signals: Number of signals that DIPY fits, one voxel at a time; 0 for none, None for
            all.

    Returns:
        The noisy signals themselves; weighted log-linear and non-linear least squares with ``S_0``
        known, the latter with its tensor clipped to the prior's box; and DIPY's two, which fit
        ``S_0``. Where it is known, signals are clipped to it: at strong noise one voxel in
        thousands would otherwise dominate the mean.
    """
    b_rows = table.b_rows

    def of_tensor(tensor: Tensor) -> Estimates:
        return Estimates(tensor_signal(tensor, b_rows).clamp(max=1.0), tensor)

    def log_linear(noisy: Tensor, _: Tensor) -> Estimates:
        return of_tensor(refit(noisy, b_rows))

    def non_linear(noisy: Tensor, _: Tensor) -> Estimates:
        return of_tensor(clip_to_box(fit_non_linear(noisy.double(), b_rows.double())[0]).float())

    found = [
        SignalEstimator("noisy", lambda noisy, _: Estimates(noisy)),
        SignalEstimator("WLS", log_linear),
        SignalEstimator("NLLS", non_linear),
    ]
    if dipy_signals != 0:
        found += [
            SignalEstimator(f"DIPY {method}", _dipy_estimator(table, method), dipy_signals)
            for method in ("WLS", "NLLS")
        ]
    return found


def _dipy_estimator(
    table: GradientTable, method: Literal["WLS", "NLLS"]
) -> Callable[[Tensor, Tensor], Estimates]:
    """Return DIPY's tensor fit, which fits ``S_0`` as well.

    Args:
        table: The protocol.
        method: Weighted log-linear or non-linear least squares.
    """
    from dipy.core.gradients import gradient_table
    from dipy.reconst.dti import TensorModel

    # DIPY's default takes b <= 50 as unweighted; the paper's b = 50 measurements are weighted.
    gradients = gradient_table(table.bvals, bvecs=table.bvecs, b0_threshold=0)
    model = TensorModel(gradients, fit_method=method, min_signal=_FLOOR, return_S0_hat=True)

    def estimate(noisy: Tensor, _: Tensor) -> Estimates:
        fit = model.fit(noisy.double().numpy())
        # Our order xx, yy, zz, xy, xz, yz, and µm²/ms instead of DIPY's mm²/s.
        rows, columns = [0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]
        tensor = torch.from_numpy(fit.quadratic_form[..., rows, columns] * 1e3)
        scale = torch.from_numpy(fit.S0_hat).unsqueeze(1)
        signal = scale * tensor_signal(tensor, table.b_rows.double())
        return Estimates(signal.float(), tensor.float())

    return estimate


def network_estimator(
    network: nn.Module, table: GradientTable, scale: ScaleEstimate | None = None
) -> Callable[[Tensor, Tensor], Estimates]:
    """Return a network as an estimator.

    Args:
        network: Gives signals, or the six elements of a tensor; with or without their deviations.
        table: The protocol of the signals.
        scale: Estimate of ``S_0`` that signals are divided by; None: as in training.

    Raises:
        InputError: If the network was trained for another protocol.
    """
    buffers = dict(network.named_buffers(recurse=False))
    stored, b_rows = buffers[B_ROWS].cpu(), table.b_rows
    if stored.shape != b_rows.shape or not torch.allclose(stored, b_rows, atol=1e-3):
        raise InputError(
            f"a network for {len(stored)} measurements was not trained for this protocol of "
            f"{len(b_rows)}: give weights (or training) for the same bval and bvec"
        )
    if scale is None and SCALE_RULES[int(buffers[SCALE_RULE])] == "b0":
        scale = "b0"
    unweighted = torch.from_numpy(table.unweighted)

    def estimate(noisy: Tensor, sigma: Tensor) -> Estimates:
        if scale is None:
            return _forward(network, noisy, sigma)
        found = estimate_scale(noisy, b_rows, unweighted, scale)
        return restore_scaled(network, noisy, sigma, found)

    return estimate


def restore_scaled(network: nn.Module, noisy: Tensor, sigma: Tensor, scale: Tensor) -> Estimates:
    """Divide signals by an estimate of ``S_0``, restore them, and multiply them again.

    Args:
        network: The network.
        noisy: Signals ``(n, M)``.
        sigma: Noise levels ``(n, 1)``, in the unit of ``noisy``.
        scale: Estimates ``(n,)`` in the same unit; below 0.05 they count as that.
    """
    unit = scale.clamp_min(_LEAST_SCALE).unsqueeze(1)
    found = _forward(network, noisy / unit, sigma / unit)
    if found.signal is None:  # a tensor does not depend on the scale
        return found
    deviation = None if found.deviation is None else found.deviation * unit
    return Estimates(found.signal * unit, None, deviation)


def _forward(network: nn.Module, noisy: Tensor, sigma: Tensor) -> Estimates:
    """Restore signals by a network, block by block."""
    parameter = next(network.parameters())
    given: Any = (noisy, sigma) if getattr(network, "with_sigma", False) else (noisy,)
    given = [value.to(parameter) for value in given]
    with torch.no_grad(), eval_mode(network):
        parts = [network(*block) for block in zip(*(v.split(_ROWS) for v in given), strict=True)]
    output = torch.cat(parts).float().cpu()
    of_signal = getattr(network, "of_signal", True)
    size = noisy.shape[1] if of_signal else 6
    deviation = output[:, size:] if output.shape[1] == 2 * size else None
    mean = output[:, :size]
    return Estimates(mean, None, deviation) if of_signal else Estimates(None, mean, deviation)
