"""Run a 2D network over the slices of a volume, each with its neighbours and its position."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import Inferer
from monai.utils import convert_to_dst_type
from torch import Tensor

from custom.setting_checks import check_whole

__all__ = [
    "SliceWiseInferer",
    "check_slices",
    "fold_slices",
    "neighbouring_slices",
    "slice_positions",
    "unfold_slices",
]


class SliceWiseInferer(Inferer):
    r"""Restore a volume slice by slice: ``num_slices`` neighbours in, the middle one out.

    Beyond the first and the last slice these are repeated. The network may change channels and
    the size in the plane, for example in super-resolution.

    MONAI's ``SliceInferer`` (1.6.1) passes single slices only, and silently drops further arguments
    of the network, so that a position cannot be passed through it either. With one slice the
    results are identical.

    Args:
        spatial_dim: Axis that counts slices: 0, 1 or 2.
        num_slices: Neighbouring slices that the network sees as channels, odd.
        slices_per_batch: Slices restored at once.
        position: Whether the network is called as ``network(slices, position, ...)``, with the
            position of each slice from -1 (first) to 1 (last), ``(n,)``.

    Shape:
        ``inputs``: ``(B, C, X, Y, Z)``. The network takes ``(n, C * num_slices, *plane)``, the
        neighbours of a channel side by side, and gives ``(n, D, *plane')``.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        spatial_dim: int = 2,
        num_slices: int = 1,
        slices_per_batch: int = 4,
        position: bool = False,
    ) -> None:
        check_slices(spatial_dim, num_slices, slices_per_batch)
        self.spatial_dim = spatial_dim
        self.num_slices = num_slices
        self.slices_per_batch = slices_per_batch
        self.position = position

    def __call__(
        self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any
    ) -> Tensor:
        """Restore volumes; further arguments go to the network.

        Raises:
            ValueError: If ``inputs`` are no volumes.
        """
        if inputs.ndim != 5:
            raise ValueError(f"inputs must be (B, C, X, Y, Z), got {tuple(inputs.shape)}")
        plain = torch.as_tensor(inputs).as_subclass(Tensor)
        slices = fold_slices(plain, self.spatial_dim)
        total = plain.shape[self.spatial_dim + 2]
        positions = slice_positions(total).to(slices).repeat(len(plain))
        restored = []
        for chosen in torch.split(torch.arange(len(slices)), self.slices_per_batch):
            told = (positions[chosen],) if self.position else ()
            seen = neighbouring_slices(slices, chosen, total, self.num_slices)
            restored.append(network(seen, *told, *args, **kwargs))
        volumes = unfold_slices(torch.cat(restored), len(plain), self.spatial_dim)
        # The geometry of the input, though channels and grid may differ.
        output: Tensor = convert_to_dst_type(volumes, inputs)[0]
        return output


def check_slices(spatial_dim: int, num_slices: int, slices_per_batch: int) -> None:
    """Raise ``ValueError`` unless a volume can be restored so, see :class:`SliceWiseInferer`."""
    check_whole("slices_per_batch", slices_per_batch, 1)
    check_whole("num_slices", num_slices, 1)
    if num_slices % 2 == 0:
        raise ValueError(f"num_slices must be odd, got {num_slices}")
    if spatial_dim not in (0, 1, 2):
        raise ValueError(f"spatial_dim must be 0, 1 or 2, got {spatial_dim}")


def neighbouring_slices(slices: Tensor, chosen: Tensor, total: int, num_slices: int) -> Tensor:
    """Return some slices with their neighbours as channels, ``(n, C num_slices, *plane)``.

    ``slices``, ``(B S, C, *plane)``, are those of volumes of ``total`` slices; ``chosen`` numbers
    some of them. Beyond the first and the last slice of a volume these are repeated.
    """
    reach = num_slices // 2
    number = chosen % total
    within = (number[:, None] + torch.arange(-reach, reach + 1)).clamp(0, total - 1)
    # Counted from the first slice of the same volume: the next one's are no neighbours.
    return slices[(chosen - number)[:, None] + within].transpose(1, 2).flatten(1, 2)


def fold_slices(volumes: Tensor, spatial_dim: int = 2) -> Tensor:
    """Return the slices of volumes ``(B, C, X, Y, Z)`` as one batch ``(B S, C, *plane)``.

    The slices of one volume come after those of the other; ``spatial_dim`` is the axis that counts
    them: 0, 1 or 2.
    """
    return volumes.movedim(spatial_dim + 2, 1).flatten(0, 1)


def unfold_slices(slices: Tensor, batch: int, spatial_dim: int = 2) -> Tensor:
    """Invert :func:`fold_slices` for ``batch`` volumes; channels and plane may be others."""
    return slices.reshape(batch, -1, *slices.shape[1:]).movedim(1, spatial_dim + 2)


def slice_positions(total: int) -> Tensor:
    """Return the positions of slices relative to the middle of the volume, -1 to 1; 0 for one.

    Example:
        >>> slice_positions(5)
        tensor([-1.0000, -0.5000,  0.0000,  0.5000,  1.0000])
    """
    return torch.linspace(-1, 1, total) if total > 1 else torch.zeros(total)
