"""Interpolate a slice or a stack to a finer grid in its plane, and crop it there."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, Literal, get_args

import numpy as np
import torch
from monai.config import KeysCollection
from monai.config.type_definitions import NdarrayOrTensor
from monai.data import MetaTensor
from monai.transforms import MapTransform, RandWeightedCropd
from torch import Tensor
from torch.nn.functional import interpolate

from custom.physics.acquisition import axis_matrix
from custom.physics.downsampling import high_affine
from custom.setting_checks import check_choice, check_whole

__all__ = ["AlignedWeightedCropd", "UpsampleInPlaned", "upsample_in_plane"]

Mode = Literal["nearest", "bilinear", "bicubic", "zero_filled"]


def upsample_in_plane(image: Tensor, scale: int = 2, mode: Mode = "nearest") -> Tensor:
    """Interpolate the first two spatial axes to a grid of ``scale`` times as many voxels.

    Args:
        image: Slice or stack; the affine of a ``MetaTensor`` follows the grid.
        scale: Whole number, at least 1.
        mode: ``nearest`` repeats voxels (order 0, as in the paper), ``bilinear`` and ``bicubic``
            interpolate between voxel centres. ``zero_filled`` puts zeros around the measured
            frequencies of the slice, which is mirrored at its faces; magnitudes stay so.

    Shape:
        ``(C, X, Y)`` or ``(C, X, Y, S)``; output ``(C, scale X, scale Y[, S])``.

    Source:
        docs/methods/micro_mri_denoise.md, "Preparation".
    """
    values = torch.as_tensor(image).as_subclass(Tensor)
    if mode == "nearest":
        fine = values.repeat_interleave(scale, 1).repeat_interleave(scale, 2)
    else:
        fine = _interpolated(values, scale, mode)
    if not isinstance(image, MetaTensor):
        return fine
    result = MetaTensor(fine, meta=image.meta, applied_operations=image.applied_operations)
    result.affine = high_affine(image.affine, "acquired", (scale, scale, 1))
    return result


def _interpolated(values: Tensor, scale: int, mode: Mode) -> Tensor:
    """Interpolate slice by slice."""
    stack = values.float() if values.ndim == 4 else values.float().unsqueeze(-1)
    if mode == "zero_filled":
        for axis in (1, 2):
            # The adjoint of keeping the centre of k-space.
            matrix = torch.from_numpy(axis_matrix("kspace", stack.shape[axis], scale)).to(stack)
            stack = torch.matmul(stack.movedim(axis, -1), scale * matrix).movedim(-1, axis)
        stack = stack.clamp(min=0)
        return stack if values.ndim == 4 else stack.squeeze(-1)
    # antialias: torch then uses Keys' kernel with a = -0.5, which reproduces ramps; its plain
    # bicubic has a = -0.75 and does not. On finer grids antialiasing does not blur.
    fine = interpolate(
        stack.permute(3, 0, 1, 2),
        scale_factor=scale,
        mode=mode,
        align_corners=False,
        antialias=mode == "bicubic",
    ).permute(1, 2, 3, 0)
    return fine if values.ndim == 4 else fine.squeeze(-1)


class UpsampleInPlaned(MapTransform):
    """Apply :func:`upsample_in_plane` to the named images.

    Args:
        keys: Images to bring to the finer grid.
        scale: See :func:`upsample_in_plane`.
        mode: See :func:`upsample_in_plane`.

    Raises:
        ValueError: If ``scale < 1`` or ``mode`` is unknown.
    """

    def __init__(self, keys: KeysCollection, scale: int = 2, mode: Mode = "nearest") -> None:
        super().__init__(keys)
        if scale < 1:
            raise ValueError(f"scale must be at least 1, got {scale}")
        check_choice("mode", mode, get_args(Mode))
        self.scale = scale
        self.mode: Mode = mode

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Bring the images to the finer grid."""
        result = dict(data)
        for key in self.key_iterator(result):
            result[key] = upsample_in_plane(data[key], self.scale, self.mode)
        return result


class AlignedWeightedCropd(RandWeightedCropd):
    """MONAI's weighted crop, moved by less than ``step`` so that it begins at a multiple of it.

    Args:
        keys: As in the base.
        w_key: As in the base.
        spatial_size: As in the base; along an axis where it is not positive nothing is cut.
        num_samples: As in the base.
        step: Voxels of the fine grid for one of the coarse one.

    Raises:
        ValueError: If ``step`` is no whole number of at least 1.
    """

    def __init__(
        self,
        keys: KeysCollection,
        w_key: str,
        spatial_size: Any,
        num_samples: int = 1,
        step: int = 2,
    ) -> None:
        super().__init__(keys, w_key, spatial_size, num_samples)
        check_whole("step", step, 1)
        self.step = step

    def randomize(self, weight_map: NdarrayOrTensor) -> None:
        """Draw the crops."""
        super().randomize(weight_map)
        half = [max(0, size) // 2 for size in self.cropper.spatial_size]
        self.cropper.centers = [
            np.array([at - (at - side) % self.step for at, side in zip(centre, half, strict=True)])
            for centre in self.cropper.centers
        ]
