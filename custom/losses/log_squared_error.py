"""The logarithm of the squared error: the negative PSNR of each patch, as a loss."""

from __future__ import annotations

from torch import Tensor, nn

from custom.setting_checks import check_above_zero, check_whole

__all__ = ["LogSquaredError"]


class LogSquaredError(nn.Module):
    r"""Take the mean over the patches of their mean squared errors in decibels.

    .. math:: L = \operatorname{mean}_b 10 \log_{10}(\operatorname{mean}((p_b - t_b)^2) + \epsilon)

    For images of range 1 this is the mean PSNR, its sign turned: a decibel counts the same in clean
    and in noisy patches.

    Args:
        margin: Outermost voxels along each axis that do not count: they lack surroundings.
        eps: Added to the mean squared error of each patch, whose logarithm is then finite.

    Shape:
        ``prediction`` and ``target``: ``(B, C, D, H, W)``, more than ``2 margin`` voxels along each
        axis. Output: ``()``.

    Raises:
        ValueError: If an argument is out of its range, or the patches do not fit.

    Source:
        Chen, Chu, Zhang, Sun, "Simple baselines for image restoration", ECCV 2022, whose code
        trains with this loss, there called PSNR loss.
    """

    def __init__(self, margin: int = 4, eps: float = 1e-6) -> None:
        super().__init__()
        check_whole("margin", margin, 0)
        check_above_zero("eps", eps)
        self.margin = margin
        self.eps = eps

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the loss, averaged over the batch."""
        if prediction.shape != target.shape:
            raise ValueError(f"shapes differ: {prediction.shape} and target {target.shape}")
        if min(target.shape[2:]) <= 2 * self.margin:
            raise ValueError(
                f"target must be over {2 * self.margin} voxels, got {target.shape[2:]}"
            )
        inner = [slice(self.margin, size - self.margin) for size in target.shape[2:]]
        squared = (
            (prediction - target)[(slice(None), slice(None), *inner)].square().flatten(1).mean(1)
        )
        return 10 * squared.add(self.eps).log10().mean()
