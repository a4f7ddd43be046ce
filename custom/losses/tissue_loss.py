"""A smooth absolute error that counts the inside of tissue, and little else."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d, smooth_l1_loss

from custom.setting_checks import check_above_zero, check_share, check_whole

__all__ = ["TissueLoss"]


class TissueLoss(nn.Module):
    r"""Weigh the smooth absolute error of slices by where there is tissue.

    .. math:: L = \sum_i w_i h(p_i - t_i) / \sum_i w_i

    ``h`` is squared below ``beta`` and absolute beyond. ``w`` is 1 in tissue, where the mean of 3 x
    3 voxels of the target is above ``threshold``, except within ``edge`` voxels of its border;
    there and in air it is ``elsewhere``. Where a program cut out an organ, the step at its border
    is the largest of the slice, and no restoration of the organ.

    Args:
        beta: In units of the images.
        threshold: In the same units; images are divided by the median of their tissue.
        edge: Voxels.
        elsewhere: Between 0 and 1.

    Shape:
        ``prediction`` and ``target``: ``(B, 1, H, W)``; output: ``()``.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self, beta: float = 0.05, threshold: float = 0.25, edge: int = 2, elsewhere: float = 0.3
    ) -> None:
        super().__init__()
        for name, value in (("beta", beta), ("threshold", threshold), ("elsewhere", elsewhere)):
            check_above_zero(name, value)
        check_share("elsewhere", elsewhere)
        check_whole("edge", edge, 0)
        self.beta, self.threshold, self.edge, self.elsewhere = beta, threshold, edge, elsewhere

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the loss, averaged over the batch."""
        weight = self.weights(target)
        error = smooth_l1_loss(prediction, target, beta=self.beta, reduction="none")
        return (error * weight).sum() / weight.sum()

    def weights(self, target: Tensor) -> Tensor:
        """Return the weight of every voxel."""
        air = (avg_pool2d(target, 3, 1, 1, count_include_pad=False) <= self.threshold).float()
        near = max_pool2d(air, 2 * self.edge + 1, 1, self.edge)
        return torch.where(near > 0, self.elsewhere, 1.0)
