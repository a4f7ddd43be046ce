"""Run a 2D network over the slices of a volume."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import Inferer
from monai.utils import convert_to_dst_type
from torch import Tensor

from custom.setting_checks import check_whole

__all__ = ["SliceWiseInferer", "fold_slices", "unfold_slices"]


class SliceWiseInferer(Inferer):
    r"""Restore a volume slice by slice.

    The network may change channels and the size in the plane, for example in super-resolution.
    MONAI's ``SliceInferer`` (1.6.1) silently drops further arguments of the network; otherwise the
    results are identical.

    Args:
        spatial_dim: Axis that counts slices: 0, 1 or 2.
        slices_per_batch: Slices restored at once.

    Shape:
        ``inputs``: ``(B, C, X, Y, Z)``. The network takes ``(n, C, *plane)`` and gives
        ``(n, D, *plane')``.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(self, spatial_dim: int = 2, slices_per_batch: int = 4) -> None:
        check_whole("slices_per_batch", slices_per_batch, 1)
        if spatial_dim not in (0, 1, 2):
            raise ValueError(f"spatial_dim must be 0, 1 or 2, got {spatial_dim}")
        self.spatial_dim = spatial_dim
        self.slices_per_batch = slices_per_batch

    def __call__(
        self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any
    ) -> Tensor:
        """Restore volumes; further arguments go to the network.

        Raises:
            ValueError: If ``inputs`` are no volumes.
        """
        if inputs.ndim != 5:
            raise ValueError(f"inputs must be (B, C, X, Y, Z), got {tuple(inputs.shape)}")
        slices = fold_slices(torch.as_tensor(inputs).as_subclass(Tensor), self.spatial_dim)
        batches = torch.split(slices, self.slices_per_batch)
        restored = [network(batch, *args, **kwargs) for batch in batches]
        volumes = unfold_slices(torch.cat(restored), len(inputs), self.spatial_dim)
        # The geometry of the input, though channels and grid may differ.
        output: Tensor = convert_to_dst_type(volumes, inputs)[0]
        return output


def fold_slices(volumes: Tensor, spatial_dim: int = 2) -> Tensor:
    """Return the slices of volumes ``(B, C, X, Y, Z)`` as one batch ``(B S, C, *plane)``.

    The slices of one volume come after those of the other; ``spatial_dim`` is the axis that counts
    them: 0, 1 or 2.
    """
    return volumes.movedim(spatial_dim + 2, 1).flatten(0, 1)


def unfold_slices(slices: Tensor, batch: int, spatial_dim: int = 2) -> Tensor:
    """Invert :func:`fold_slices` for ``batch`` volumes; channels and plane may be others."""
    return slices.reshape(batch, -1, *slices.shape[1:]).movedim(1, spatial_dim + 2)
