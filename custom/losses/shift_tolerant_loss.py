"""The absolute error of pairs that registration has left a little off."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d

from custom.setting_checks import check_above_zero, check_whole

__all__ = ["ShiftTolerantLoss", "shifted"]

_LOBES = 3  # of the windowed sinc that shifts by parts of a voxel


class ShiftTolerantLoss(nn.Module):
    r"""The mean absolute error of each region under the shift of the reference that fits it best.

    .. math:: \frac{1}{R} \sum_r \min_d \overline{|x - S_d y|}_r

    over regions ``r`` and shifts ``d`` in the plane. A network that is trained so need not blur
    what lies off by less than ``reach``. The shifts of a region are few against its voxels, so that
    they cannot make up for contrast or detail; with regions of a voxel they could.

    Args:
        reach: Largest shift along each axis, in voxels.
        step: Distance of the shifts tried, in voxels.
        region: Edge of a region in voxels.

    Shape:
        Predicted and reference: ``(B, 1, H, W)``, at least a region and the margins that shifts
        need; output: ``()``.

    Raises:
        ValueError: If a number is out of its range, or at the call, if images are too small.

    Source:
        docs/methods/brain_3t7t_sr.md, "Losses".
    """

    def __init__(self, reach: float = 1.0, step: float = 0.5, region: int = 24) -> None:
        super().__init__()
        check_above_zero("reach", reach)
        check_above_zero("step", step)
        check_whole("region", region, 4)
        count = round(reach / step)
        self.offsets = [number * step for number in range(-count, count + 1)]
        self.region = region

    def forward(self, predicted: Tensor, reference: Tensor) -> Tensor:
        """Compare a batch."""
        margin = _LOBES + int(max(self.offsets) + 1)
        height, width = (n - 2 * margin for n in predicted.shape[2:])
        if min(height, width) < self.region:
            raise ValueError(
                f"images must be at least {self.region + 2 * margin} voxels wide, "
                f"got {tuple(predicted.shape[2:])}"
            )
        inner = predicted[:, :, margin : margin + height, margin : margin + width]
        least: Tensor | None = None
        for rows in self.offsets:
            half = shifted(reference, rows, 2)
            for columns in self.offsets:
                moved = shifted(half, columns, 3)
                moved = moved[:, :, margin : margin + height, margin : margin + width]
                error = avg_pool2d((inner - moved).abs(), self.region)
                least = error if least is None else torch.minimum(least, error)
        assert least is not None  # noqa: S101 (there is always the shift of 0)
        return least.mean()


def shifted(images: Tensor, voxels: float, axis: int) -> Tensor:
    """Return images ``(B, 1, H, W)`` moved along an axis, by a sinc in Lanczos' window.

    Beyond the border is 0; the three outer voxels are not to be trusted.
    """
    place = torch.arange(-_LOBES, _LOBES + 1, dtype=torch.float64)
    whole = int(torch.floor(torch.tensor(voxels)))
    distance = place - (voxels - whole)
    kernel = torch.sinc(distance) * torch.sinc(distance / _LOBES) * (distance.abs() < _LOBES)
    kernel = (kernel / kernel.sum()).to(images).flip(0)
    made = torch.roll(images, whole, axis)
    shape = [1, 1, -1, 1] if axis == 2 else [1, 1, 1, -1]
    padding = [_LOBES, 0] if axis == 2 else [0, _LOBES]
    return conv2d(made, kernel.view(shape), padding=padding)
