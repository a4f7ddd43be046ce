"""Quality against the number of reverse steps, and deviation maps against the true error."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor, nn

from custom.analysis.anchored_path.slices import PairedSlice
from custom.metrics.psnr import mean_squared_error, peak_signal_to_noise_ratio
from custom.metrics.ssim import structural_similarity
from custom.physics.intensity_statistics import reference_intensity

__all__ = [
    "Deviation",
    "Restore",
    "deviations",
    "input_quality",
    "rank_correlations",
    "reliability",
    "step_quality",
]

Array = NDArray[Any]
Restore = Callable[[Tensor, nn.Module], Tensor]
"""Restores slices ``(B, 1, X, Y)`` with a network, as an inferer of MONAI does."""


@dataclass(frozen=True)
class Deviation:
    """Mean and deviation of several noisy passes for one slice, in units of its scale.

    Args:
        pair: The slice.
        mean: Mean over the passes.
        deviation: Sample standard deviation over the passes.

    Shape:
        Maps: ``(X, Y)``.
    """

    pair: PairedSlice
    mean: Array
    deviation: Array

    @property
    def error(self) -> Array:
        """Absolute difference of mean and reference."""
        difference: Array = np.abs(self.mean - self.pair.label[0, 0].numpy())
        return difference

    @property
    def tissue(self) -> Array:
        """Mask where the reference is brighter than half the median of the tissue."""
        half = 0.5 * float(reference_intensity(self.pair.label, "tissue_median"))
        return self.pair.label[0, 0].numpy() > half


def step_quality(
    make_restore: Callable[[int, bool], Restore],
    network: nn.Module,
    pairs: Sequence[PairedSlice],
    steps: Sequence[int],
) -> list[dict[str, Any]]:
    """Restore the slices with each number of steps, without and with noise.

    Args:
        make_restore: Gives the sampler for a number of steps and whether it is stochastic.
        network: The trained network.
        pairs: Slices.
        steps: Numbers of steps.

    Returns:
        One row for each number of ``steps`` and sampler, ``stochastic`` or not, with the means of
        :func:`input_quality` and the median time of a slice in ``seconds``. The first slice is
        restored once before, so that no row includes the cost of a first call.
    """
    found: list[dict[str, Any]] = []
    for stochastic in (False, True):
        for count in steps:
            restore = make_restore(count, stochastic)
            if not found:
                _restored(restore, network, pairs[0])
            results = [_restored(restore, network, pair) for pair in pairs]
            quality = _mean_quality(pairs, [image for image, _ in results])
            seconds = float(np.median([spent for _, spent in results]))
            row = {"steps": count, "stochastic": stochastic, **quality, "seconds": seconds}
            found.append(row)
    return found


def input_quality(pairs: Sequence[PairedSlice]) -> dict[str, float]:
    """Return the mean measures of the fast slices themselves.

    ``mse`` in squares of each slice's scale, ``psnr`` in dB, ``ssim``.
    """
    return _mean_quality(pairs, [pair.image for pair in pairs])


def deviations(
    restore: Restore, network: nn.Module, pairs: Sequence[PairedSlice]
) -> list[Deviation]:
    """Restore each slice by several noisy passes.

    Args:
        restore: A sampler that gives mean and deviation, ``(1, 2, X, Y)``.
        network: The trained network.
        pairs: Slices.
    """
    found = []
    for pair in pairs:
        both, _ = _restored(restore, network, pair)
        found.append(Deviation(pair, both[0, 0].numpy(), both[0, 1].numpy()))
    return found


def rank_correlations(found: Sequence[Deviation]) -> dict[str, float]:
    """Correlate the true error, by Spearman's rank, with the deviation in tissue.

    The brightness of the restored image is correlated with the error as well: a deviation map that
    only repeats the image would carry no further information.

    Returns:
        ``deviation`` and ``brightness``, means over the slices whose maps vary; NaN without any.
    """
    maps = {"deviation": [i.deviation for i in found], "brightness": [i.mean for i in found]}
    ranks = {name: [*map(_rank, found, values)] for name, values in maps.items()}
    finite = {name: [v for v in values if np.isfinite(v)] for name, values in ranks.items()}
    return {name: float(np.mean(v)) if v else float("nan") for name, v in finite.items()}


def reliability(found: Sequence[Deviation], bins: int = 10) -> tuple[Array, Array]:
    """Return the RMS error of pixels against their predicted deviation.

    Args:
        found: Slices; those with less tissue than ``bins`` pixels are left out.
        bins: Groups of the tissue of a slice, of equal number, from the lowest deviation up.

    Returns:
        RMS deviation and RMS error of each group, over the slices; NaN without any tissue.
    """
    told, true = [], []
    for item in found:
        deviation, error = (
            values[item.tissue].astype(float) for values in (item.deviation, item.error)
        )
        if deviation.size < bins:
            continue
        groups = np.array_split(np.argsort(deviation, kind="stable"), bins)
        told.append([np.mean(deviation[group] ** 2) for group in groups])
        true.append([np.mean(error[group] ** 2) for group in groups])
    if not told:
        return np.full(bins, np.nan), np.full(bins, np.nan)
    return np.sqrt(np.mean(told, axis=0)), np.sqrt(np.mean(true, axis=0))


def _rank(item: Deviation, values: Array) -> float:
    """Return the rank correlation of the error with a map, in tissue."""
    inside, error = values[item.tissue], item.error[item.tissue]
    # Ranks of equal values have no correlation, and SciPy warns of them.
    if inside.size < 3 or np.ptp(inside) == 0 or np.ptp(error) == 0:
        return float("nan")
    return float(spearmanr(inside, error).statistic)


def _restored(restore: Restore, network: nn.Module, pair: PairedSlice) -> tuple[Tensor, float]:
    """Restore one slice; return it as evaluated (never negative), and the seconds it took."""
    device = next(network.parameters()).device
    image = pair.image.to(device)
    begin = time.perf_counter()
    with torch.no_grad():
        restored = restore(image, network).relu().cpu()  # to the CPU: waits for the device
    return restored.float(), time.perf_counter() - begin


def _mean_quality(pairs: Sequence[PairedSlice], images: Sequence[Tensor]) -> dict[str, float]:
    """Return the means over slices of MSE, PSNR and SSIM."""
    measured = [
        (
            mean_squared_error(image, pair.label).item(),
            peak_signal_to_noise_ratio(image, pair.label, pair.data_range).item(),
            structural_similarity(image, pair.label, pair.data_range).item(),
        )
        for pair, image in zip(pairs, images, strict=True)
    ]
    return dict(zip(("mse", "psnr", "ssim"), np.mean(measured, axis=0).tolist(), strict=True))
