"""Error of an estimate, and the likelihood of its deviation, which leaves the estimate alone."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import smooth_l1_loss

from custom.setting_checks import check_above_zero, check_not_negative

__all__ = ["EstimateLoss"]


class EstimateLoss(nn.Module):
    r"""Smooth absolute error of an estimate, and the Gaussian likelihood of its deviation.

    .. math:: L = \operatorname{mean} h(p - t)
        + w \operatorname{mean}\left(\log s + \tfrac{(p - t)^2}{2 s^2}\right)

    ``h`` is squared below ``beta`` and absolute beyond. The second term has a gradient in ``s``
    alone, so the estimate is that of a training without it. Where errors are normal and ``s`` can
    follow them, its minimum is :math:`s^2 = E (p - t)^2`.

    Args:
        beta: In units of the images.
        deviation_weight: ``w``; a head of its own parameters learns alike for any.
        floor: Least ``s``, in the same units: voxels of air that have no error at all would else
            rule.

    Shape:
        ``prediction``: ``(B, 2, *spatial)``, the estimate and ``log s``; or ``(B, 1, *spatial)``,
        the estimate alone. ``target``: ``(B, 1, *spatial)``. Output: ``()``.

    Raises:
        ValueError: If an argument is out of its range, or at the call if channels are others.

    Source:
        Nix, Weigend, "Estimating the mean and variance of the target probability distribution",
        IEEE ICNN 1994.
    """

    def __init__(
        self, beta: float = 0.05, deviation_weight: float = 0.1, floor: float = 0.002
    ) -> None:
        super().__init__()
        check_above_zero("beta", beta)
        check_above_zero("floor", floor)
        check_not_negative("deviation_weight", deviation_weight)
        self.beta, self.deviation_weight, self.floor = beta, deviation_weight, floor

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the loss, averaged over the batch."""
        if prediction.shape[1] not in (1, 2) or target.shape[1] != 1:
            raise ValueError(
                f"prediction must have 1 or 2 channels and target 1, got {tuple(prediction.shape)} "
                f"and {tuple(target.shape)}"
            )
        estimate = prediction[:, :1]
        error = smooth_l1_loss(estimate, target, beta=self.beta)
        if prediction.shape[1] == 1:
            return error
        # By logarithms: a large one would overflow as a variance, and the loss with it.
        least = prediction.new_tensor(2 * math.log(self.floor))
        variance = torch.logaddexp(2 * prediction[:, 1:], least)
        squared = (estimate.detach() - target).square()
        likelihood = 0.5 * (variance + squared * (-variance).exp()).mean()
        return error + self.deviation_weight * likelihood
