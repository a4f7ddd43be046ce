"""Mean squared error of restored diffusion signals, absolute or relative to the expected one."""

from __future__ import annotations

from typing import Any

from monai.metrics import CumulativeIterationMetric
from torch import Tensor

from custom.physics.diffusion.error_scales import ErrorScales, expected_squared_error

__all__ = ["SignalError"]


class SignalError(CumulativeIterationMetric):
    """Mean over signals of the squared error, of the mean over measurements.

    Args:
        scales: If given, each signal's error is divided by the expected one at its noise level, so
            that weak noise has the same weight as strong noise.
        of_tensor: True if tensors are compared, False for signals.

    Shape:
        ``y_pred``: ``(B, K)``, or more columns, which are not looked at; ``y``: ``(B, K + 1)``,
        truth and
        noise level; value: ``(B, 1)``; aggregate: ``()``.
    """

    def __init__(self, scales: ErrorScales | None = None, of_tensor: bool = False) -> None:
        super().__init__()
        self.scales = scales
        self.of_tensor = of_tensor

    def _compute_tensor(self, y_pred: Tensor, y: Tensor | None = None, **_: Any) -> Tensor:
        """Return the error of each signal."""
        if y is None:
            raise ValueError("y must be given: the truth and the noise level")
        truth, sigma = y[:, :-1], y[:, -1:]
        error = (y_pred[:, : truth.shape[1]] - truth).double().square().mean(1, keepdim=True)
        if self.scales is None:
            return error
        of = self.scales
        bound, variance = (
            (of.tensor_bound, of.tensor_variance)
            if self.of_tensor
            else (of.signal_bound, of.signal_variance)
        )
        bound, variance = bound.to(sigma.device), variance.to(sigma.device)
        # One scale for all elements of a tensor, as in the loss.
        expected = expected_squared_error(sigma, bound, variance).mean(1, keepdim=True)
        return error / expected

    def aggregate(self, *_: Any, **__: Any) -> Tensor:
        """Return the mean over all signals."""
        values = self.get_buffer()  # type: ignore[no-untyped-call]
        if not isinstance(values, Tensor):
            raise ValueError("no signal was measured")
        return values.mean()
