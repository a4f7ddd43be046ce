"""The hybrid of mean squared error and structural similarity."""

from __future__ import annotations

from typing import Literal

from monai.losses import SSIMLoss
from torch import Tensor, nn
from torch.nn.functional import mse_loss

__all__ = ["MseSsimLoss"]


class MseSsimLoss(nn.Module):
    r"""Weigh the mean squared error against structural dissimilarity.

    .. math:: L = \alpha \operatorname{MSE}(p, t) + (1 - \alpha) (1 - \operatorname{SSIM}(p, t))

    SSIM has a Gaussian window of 11 pixels and 1.5 pixels deviation, and is taken where the window
    lies inside the image.

    Args:
        alpha: Weight of the mean squared error, in ``[0, 1]``.
        data_range: Range of the intensities, for SSIM's constants; ``"target"`` takes maximum
            minus minimum of each target image.
        spatial_dims: 2 or 3.

    Shape:
        ``prediction`` and ``target``: ``(B, C, *spatial)``, at least 11 pixels along each axis.
        Output: ``()``.

    Raises:
        ValueError: If ``alpha`` or ``data_range`` is out of range, or the images do not fit.

    Source:
        docs/methods/micro_mri_denoise.md, "Losses"; Wang et al. 2004 for SSIM.
    """

    WINDOW = 11

    def __init__(
        self,
        alpha: float = 0.5,
        data_range: float | Literal["target"] = "target",
        spatial_dims: int = 2,
    ) -> None:
        super().__init__()
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha must lie in [0, 1], got {alpha}")
        if isinstance(data_range, str):
            # Each pair is then divided by its range before SSIM sees it.
            fixed, valid = 1.0, data_range == "target"
        else:
            fixed, valid = data_range, data_range > 0
        if not valid:
            raise ValueError(f"data_range must be positive or 'target', got {data_range!r}")
        self.alpha = alpha
        self.data_range = data_range
        self.ssim = SSIMLoss(spatial_dims, data_range=fixed, win_size=self.WINDOW)

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the loss, averaged over the batch."""
        if prediction.shape != target.shape:
            raise ValueError(f"shapes differ: {prediction.shape} and target {target.shape}")
        if min(target.shape[2:]) < self.WINDOW:
            raise ValueError(f"target must be {self.WINDOW} pixels or more, got {target.shape[2:]}")
        error = mse_loss(prediction, target)
        if self.data_range == "target":
            # SSIM depends on image / range alone: scaling the pair stands for a range per image.
            axes = tuple(range(1, target.ndim))
            width = target.amax(axes, keepdim=True) - target.amin(axes, keepdim=True)
            # A constant target has no range, and would be divided by 0.
            width = width.where(width > 0, width.new_ones(()))
            prediction, target = prediction / width, target / width
        dissimilarity: Tensor = self.ssim(prediction, target)
        return self.alpha * error + (1 - self.alpha) * dissimilarity
