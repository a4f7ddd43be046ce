"""Restore the voxels of a diffusion series, each by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import Inferer
from monai.networks import eval_mode
from monai.utils import convert_to_dst_type
from torch import Tensor

from custom.setting_checks import check_whole

__all__ = ["VoxelwiseInferer"]

Network = Callable[..., Tensor]


class VoxelwiseInferer(Inferer):
    """Divide each voxel's signals by their scale, restore them, and multiply back.

    Voxels outside of the mask, or whose scale is not positive, do not change. A voxel's result
    depends on its own signals only, not on the batches; sampled latents depend on ``seed`` and on
    the voxel's index among those of the mask.

    Args:
        voxels_per_batch: Voxels restored at once.
        with_sigma: Whether the network gets the noise level.
        num_samples: Samples of the latent distribution, for the mean and the sample standard
            deviation; for networks that are ``variational``, with ``encode`` and ``decode``. 1: no
            sampling.
        seed: Seed of the draws.

    Shape:
        ``inputs``: ``(B, M, X, Y, Z)``; maps: ``(B, 1, X, Y, Z)``; output: ``(B, M, X, Y, Z)``, or
        ``(B, 2 M, X, Y, Z)`` if there are deviations, which are 0 outside of the mask.

    Raises:
        ValueError: If a number is out of its range; at the call if ``num_samples`` is above 1 for a
            network without a latent distribution, or the output of a network is no signals.
    """

    def __init__(
        self,
        voxels_per_batch: int = 16384,
        with_sigma: bool = True,
        num_samples: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_whole("voxels_per_batch", voxels_per_batch, 1)
        check_whole("num_samples", num_samples, 1)
        self.voxels_per_batch = voxels_per_batch
        self.with_sigma = with_sigma
        self.num_samples = num_samples
        self.seed = seed

    def __call__(
        self,
        inputs: Tensor,
        network: Network,
        *args: Any,
        scale: Tensor | None = None,
        sigma: Tensor | None = None,
        mask: Tensor | None = None,
        reduced: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """Restore series.

        Args:
            inputs: The series, volumes in the order of the network's protocol.
            network: Restores signals, ``(n, M)`` and, with ``with_sigma``, ``(n, 1)`` noise levels.
            args: Further arguments of the network.
            scale: S0 of each voxel, in the unit of ``inputs``; 1 if left out.
            sigma: Noise level of each voxel, in units of the scale; needed if ``with_sigma``.
            mask: Voxels to restore; all if left out.
            reduced: What the network gets instead of ``inputs``: the same with less noise, to which
                ``scale`` and ``sigma`` then belong.
            kwargs: Further arguments of the network.
        """
        series = torch.as_tensor(inputs).as_subclass(Tensor).float().movedim(1, -1)
        inside = _map(mask, series, 1.0) > 0
        units = _map(scale, series, 1.0)
        inside &= torch.isfinite(units) & (units > 0)
        if not inside.any():
            return inputs
        units = units[inside].unsqueeze(1)
        given = inputs if reduced is None else reduced
        given = torch.as_tensor(given).as_subclass(Tensor).to(series).movedim(1, -1)
        signals = given[inside] / units
        parts = [signals]
        if self.with_sigma:
            if sigma is None:
                raise ValueError("sigma must be given: the network is told the noise level")
            parts.append(_map(sigma, series, 0.0)[inside].unsqueeze(1))
        with eval_mode(network):  # type: ignore[arg-type]  # any callable
            if self.num_samples > 1:
                found = self._draw(signals, network)
            else:
                found = self._in_batches(lambda *some: network(*some, *args, **kwargs), *parts)
        _check_output(found, signals, network)
        restored = _scatter(found * units, series, inside)
        output: Tensor = convert_to_dst_type(restored.movedim(-1, 1), inputs)[0]
        return output

    def _in_batches(self, function: Network, *parts: Tensor) -> Tensor:
        """Apply a function to some voxels at a time."""
        batches = zip(*(torch.split(part, self.voxels_per_batch) for part in parts), strict=True)
        return torch.cat([function(*batch).float() for batch in batches])

    def _draw(self, signals: Tensor, network: Network) -> Tensor:
        """Return mean and deviation of signals decoded from drawn latents, ``(n, 2 M)``."""
        if not getattr(network, "variational", False):
            raise ValueError(
                f"num_samples {self.num_samples} needs a model with a latent distribution (overlay "
                "vae): this one has nothing to draw from"
            )
        autoencoder: Any = network
        latents = self._in_batches(lambda some: torch.cat(autoencoder.encode(some), 1), signals)
        centres, log_variances = latents.chunk(2, 1)
        spread = (0.5 * log_variances).exp()
        # The same on every device, and for batches of every size.
        generator = torch.Generator().manual_seed(self.seed)
        mean, squares = torch.zeros_like(signals), torch.zeros_like(signals)
        for index in range(1, self.num_samples + 1):
            drawn = torch.randn(centres.shape, generator=generator).to(centres.device)
            decoded = self._in_batches(autoencoder.decode, centres + spread * drawn)
            # Welford's update: no sample is kept, and no two large sums are subtracted.
            change = decoded - mean
            mean = mean + change / index
            squares = squares + change * (decoded - mean)
        return torch.cat([mean, (squares / (self.num_samples - 1)).sqrt()], 1)


def _check_output(found: Tensor, signals: Tensor, network: Network) -> None:
    """Refuse a network whose output is no signals."""
    count = signals.shape[1]
    of_signal = getattr(network, "of_signal", True)
    if not of_signal or found.shape[1] not in (count, 2 * count):
        raise ValueError(
            f"the network gives {found.shape[1]} numbers a voxel for {count} signals: a series can "
            "only be restored by one that gives signals"
        )


def _map(values: Tensor | None, series: Tensor, default: float) -> Tensor:
    """Return a map ``(B, 1, X, Y, Z)`` as ``(B, X, Y, Z)``."""
    if values is None:
        return series.new_full(series.shape[:-1], default)
    plain = torch.as_tensor(values).as_subclass(Tensor).to(series.device)
    return plain.squeeze(1).to(series.dtype)


def _scatter(found: Tensor, series: Tensor, inside: Tensor) -> Tensor:
    """Return restored signals, and deviations, as a volume; ``(B, X, Y, Z, M or 2 M)``."""
    count = series.shape[-1]
    restored = series.clone()
    restored[inside] = found[:, :count]
    if found.shape[1] == count:
        return restored
    deviations = torch.zeros_like(series)
    deviations[inside] = found[:, count:]
    return torch.cat([restored, deviations], -1)
