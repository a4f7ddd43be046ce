r"""The noise level of a magnitude volume, estimated from the volume itself, voxel by voxel.

The second difference along all three axes keeps the deviation of white noise and little of the
anatomy:

.. math:: c = d_x d_y d_z y, \qquad d = (1, -2, 1) / \sqrt 6

Blocks of 8 x 8 x 8 voxels have the level :math:`\operatorname{median} |c| / 0.6745`, which fine
structure hardly moves. A magnitude's noise is weaker where there is little signal, by a factor that
follows from its mean over its deviation, 0.655 in air. Medians of 5 x 5 x 5 blocks, interpolated to
the voxels, leave what varies as slowly as the noise of parallel imaging does.

What has been filtered, zero-filled or interpolated has less power at the highest frequencies than
below, and its level comes out too low.

Source:
    The median of a high band: Donoho, Johnstone, Biometrika 81 (1994), 425, as
    ``skimage.restoration.estimate_sigma`` has it for one number; the correction: Koay, Basser,
    Journal of Magnetic Resonance 179 (2006), 317.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d, pad

__all__ = ["local_noise_level", "second_difference", "slice_noise_level", "slice_noise_table"]

_BLOCK = 8  # voxels; 512 of them give a median to 6 %
_REACH = 2  # blocks to each side; 125 of them to 1 %
_NORMAL = 0.6745  # median of the magnitude of a normal deviate
_MEAN_MAGNITUDE = 0.7979  # mean of the magnitude of a normal deviate
# The lower quartile of the levels of tiles of 8 x 8 voxels of white noise, over its deviation;
# simulated.
_QUARTILE = 0.89


def local_noise_level(volume: Tensor) -> Tensor:
    """Return the deviation of the noise of one channel around every voxel (see the module).

    Voxels of exactly 0, as programs set them outside a brain, have none and do not count. Where
    there are no others near, it is the volume's median level; 0 if nothing is there.

    Args:
        volume: Magnitude, in any unit.

    Shape:
        ``(D, H, W)``; output the same, float32, in that unit.
    """
    values = torch.as_tensor(volume).as_subclass(Tensor).detach().float()
    change = values
    for axis in range(3):
        change = second_difference(change, axis)
    known = _all_around(values != 0)
    level = _block_medians(torch.where(known, change.abs(), torch.nan)) / _NORMAL
    level = _without_magnitude_bias(level, _block_medians(torch.where(known, values, torch.nan)))
    smooth = _medians(pad(level, [_REACH] * 6, value=torch.nan), 2 * _REACH + 1, 1)
    smooth = torch.where(smooth.isnan(), smooth.nanmedian(), smooth).nan_to_num(0.0)
    size = [_BLOCK * length for length in smooth.shape]
    fine = interpolate(smooth[None, None], size=size, mode="trilinear", align_corners=False)[0, 0]
    d, h, w = values.shape
    return fine[:d, :h, :w].contiguous()


def slice_noise_level(slices: Tensor, bright: Tensor, expected: Tensor) -> Tensor:
    """Return the deviation of a channel's noise in each of several magnitude slices.

    From second differences in the plane, as in :func:`local_noise_level`, but one number a slice:
    the lower quartile over tiles of 8 x 8 voxels, of whose differences the mean magnitude counts. A
    thick slice has anatomy as fine as its voxels, and most tiles hold some. TorchScript reads it.

    Args:
        slices: Magnitudes on the acquired grid, in any unit. Voxels of exactly 0 do not count.
        bright: Of :func:`slice_noise_table`.
        expected: The same.

    Shape:
        ``(B, 1, H, W)``; output ``(B,)``, float32, in that unit; 0 where nothing is known.
    """
    tile = 8
    values = slices.detach().float()
    change = second_difference(second_difference(values, 2), 3).abs()
    unknown = max_pool2d((values == 0).float(), 3, 1, 1)
    # At the faces there is no difference.
    known = pad(1 - unknown[:, :, 1:-1, 1:-1], [1, 1, 1, 1])
    share = avg_pool2d(known, tile, ceil_mode=True)
    nothing = torch.full_like(share, float("nan"))
    # Tiles of which less than half is known do not count.
    share = torch.where(share >= 0.5, share, nothing).flatten(1)
    level = avg_pool2d(change * known, tile, ceil_mode=True).flatten(1) / share
    signal = avg_pool2d(values * known, tile, ceil_mode=True).flatten(1) / share
    found = (level / expected[0]).nanquantile(0.25, dim=1)  # as if all were air: too much
    for _ in range(2):
        place = torch.searchsorted(bright, (signal / found[:, None]).nan_to_num(0.0, 0.0))
        place = place.clamp(max=expected.shape[0] - 1)
        found = (level / expected[place]).nanquantile(0.25, dim=1)
    return found.nan_to_num(0.0)


def slice_noise_table() -> tuple[list[float], list[float]]:
    """Return what a channel's noise of deviation 1 gives in a magnitude slice.

    Returns:
        Means of Rician deviates, rising, and for each the lower quartile over tiles of the mean
        magnitude of second differences.
    """
    mean, deviation = _rician_deviation()
    return mean.tolist(), (_MEAN_MAGNITUDE * _QUARTILE * deviation).tolist()


@lru_cache(maxsize=1)
def _rician_deviation() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a Rician deviate's mean over the deviation of a channel, rising, and its own."""
    magnitude = stats.rice(np.linspace(0, 12, 121))
    return np.asarray(magnitude.mean()), np.asarray(magnitude.std())


def second_difference(values: Tensor, axis: int) -> Tensor:
    """Return the second difference along an axis, of white noise's deviation; 0 at the ends."""
    made = torch.zeros_like(values)
    inside = values.shape[axis] - 2
    if inside > 0:
        ends = values.narrow(axis, 0, inside) + values.narrow(axis, 2, inside)
        made.narrow(axis, 1, inside).copy_((ends - 2 * values.narrow(axis, 1, inside)) / 6**0.5)
    return made


def _all_around(mask: Tensor) -> Tensor:
    """Return where a mask holds in all 27 voxels around; never at the faces of the volume."""
    inner = torch.nn.functional.max_pool3d((~mask).float()[None], 3, 1, 1)[0] == 0
    made = torch.zeros_like(mask)
    made[1:-1, 1:-1, 1:-1] = inner[1:-1, 1:-1, 1:-1]
    return made


def _block_medians(values: Tensor) -> Tensor:
    """Return the median of each block that is known in a quarter of its voxels; else NaN."""
    margins = [(0, -length % _BLOCK) for length in values.shape[::-1]]
    grown = pad(values, [end for both in margins for end in both], value=torch.nan)
    return _medians(grown, _BLOCK, _BLOCK, least=_BLOCK**3 // 4)


def _medians(values: Tensor, size: int, step: int, least: int = 1) -> Tensor:
    """Return the median of the numbers in each window; NaN if there are fewer than ``least``."""
    # Plane by plane of windows, which bounds the memory.
    planes = []
    for slab in values.unfold(0, size, step):
        windows = slab.unfold(0, size, step).unfold(1, size, step).flatten(2)
        enough = windows.isfinite().sum(-1) >= least
        planes.append(torch.where(enough, windows.nanmedian(-1).values, torch.nan))
    return torch.stack(planes)


def _without_magnitude_bias(level: Tensor, signal: Tensor) -> Tensor:
    """Return the deviation of a channel for a magnitude's deviation and mean; NaN for NaN."""
    ratio, factor = _rician_table()
    found = (signal / level).nan_to_num(float(ratio[-1]), posinf=float(ratio[-1])).double().numpy()
    return level / torch.from_numpy(np.interp(found, ratio, factor)).float()


@lru_cache(maxsize=1)
def _rician_table() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a Rician deviate's mean over its deviation, and that over a channel's, rising."""
    mean, deviation = _rician_deviation()
    return mean / deviation, deviation
