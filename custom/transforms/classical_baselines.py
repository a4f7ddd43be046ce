"""Non-local means, the classical method that a restoration network has to beat."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["NonLocalMeans", "NonLocalMeansd", "noise_deviation"]


def noise_deviation(stack: NDArray[Any]) -> float:
    """Return DIPY's estimate of the noise in a stack of thick slices, in the stack's units.

    The median of the estimates of the single slices: the estimator is a high-pass filter, and
    across slices three times as thick as their pixels it would take anatomy for noise. In tissue
    the estimate is 1.05 times the deviation, in air 0.69 times: a slice counts as its own
    neighbour above and below, and the correction for one coil assumes air everywhere.

    Args:
        stack: Magnitude image.

    Shape:
        ``(X, Y, S)``.
    """
    from dipy.denoise.noise_estimate import estimate_sigma

    slices = np.moveaxis(np.asarray(stack, dtype=np.float64), -1, 0)[..., None]
    # N=1: magnitude of one complex channel, so the background is Rayleigh distributed.
    return float(np.median([estimate_sigma(one, N=1)[0] for one in slices]))


class NonLocalMeans(Transform):
    """Denoise a stack by DIPY's non-local means on the grid on which it was acquired.

    Denoising comes before any interpolation. Interpolated noise is correlated between pixels, so
    patches no longer average it away, and a stack of twice the matrix takes four times as long:
    the acquired grid is the stronger form of this baseline.

    The reference is a magnitude image with a noise floor of its own. Subtracting the Rician bias
    (``rician=True``) empties the background, which that reference does not do, and costs 3 dB and
    half of the SSIM on a simulated mouse brain; so the default is without. DIPY averages squares
    in both cases.

    Args:
        patch_radius: Half width of the compared patches in voxels.
        block_radius: Half width of the search block in voxels. 3 takes about 0.8 s for a stack
            of 150 x 150 x 6; 5 takes 4 s for less than 0.1 dB.
        rician: Whether to subtract the Rician bias.

    Shape:
        ``(C, X, Y, S)``; output the same, float32, never negative.

    Raises:
        ValueError: If a radius is below 1.

    Source:
        Descoteaux et al., "Impact of Rician adapted non-local means filtering on HARDI", 2008;
        ``dipy.denoise.nlmeans``, method ``classic``, better here than ``blockwise`` by 0.7 dB.
    """

    def __init__(
        self, patch_radius: int = 1, block_radius: int = 3, *, rician: bool = False
    ) -> None:
        for name, radius in (("patch_radius", patch_radius), ("block_radius", block_radius)):
            if radius < 1:
                raise ValueError(f"{name} must be at least 1, got {radius}")
        self.patch_radius = patch_radius
        self.block_radius = block_radius
        self.rician = rician

    def __call__(self, img: Tensor) -> Tensor:
        """Return the denoised stack."""
        values = torch.as_tensor(img).as_subclass(Tensor).cpu().numpy()
        denoised = np.stack([self._denoise(channel) for channel in values])
        result = torch.from_numpy(denoised).to(img.device)
        if not isinstance(img, MetaTensor):
            return result
        return MetaTensor(result, meta=img.meta, applied_operations=img.applied_operations)

    def _denoise(self, stack: NDArray[Any]) -> NDArray[np.float32]:
        """Denoise one channel ``(X, Y, S)``."""
        from dipy.denoise.nlmeans import nlmeans

        sigma = noise_deviation(stack)
        if sigma == 0:
            return stack.astype(np.float32)
        denoised = nlmeans(
            stack.astype(np.float64),
            sigma,
            patch_radius=self.patch_radius,
            block_radius=self.block_radius,
            rician=self.rician,
            method="classic",
        )
        return np.asarray(denoised, dtype=np.float32)


class NonLocalMeansd(MapTransform):
    """Apply :class:`NonLocalMeans` to the named stacks.

    Args:
        keys: Stacks to denoise.
        patch_radius: See :class:`NonLocalMeans`.
        block_radius: See :class:`NonLocalMeans`.
        rician: See :class:`NonLocalMeans`.
        allow_missing_keys: Whether ``keys`` may be absent.
    """

    def __init__(
        self,
        keys: KeysCollection,
        patch_radius: int = 1,
        block_radius: int = 3,
        *,
        rician: bool = False,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.denoise = NonLocalMeans(patch_radius, block_radius, rician=rician)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Denoise the stacks."""
        result = dict(data)
        for key in self.key_iterator(result):
            result[key] = self.denoise(data[key])
        return result
