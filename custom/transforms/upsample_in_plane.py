"""Interpolate a slice or a stack to a finer grid in its plane, with its affine."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, Literal

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform
from torch import Tensor
from torch.nn.functional import interpolate

__all__ = ["UpsampleInPlane", "UpsampleInPlaned", "finer_affine"]

Mode = Literal["nearest", "bilinear", "bicubic"]


def finer_affine(affine: Tensor, scale: int) -> Tensor:
    r"""Return the affine of the grid that is ``scale`` times finer in the first two axes.

    Both grids fill the same box, so the first voxel centre moves by half the difference of the
    voxel sizes: index ``i`` of the fine grid lies at ``(i + 1/2) / scale - 1/2`` of the coarse one.

    Args:
        affine: ``(r + 1, r + 1)``, voxel index to millimetres.
        scale: Whole number, at least 1.
    """
    to_coarse = torch.eye(affine.shape[0], dtype=affine.dtype, device=affine.device)
    for axis in (0, 1):
        to_coarse[axis, axis] = 1 / scale
        to_coarse[axis, -1] = (1 / scale - 1) / 2
    return affine @ to_coarse


class UpsampleInPlane(Transform):
    """Interpolate the first two spatial axes to a grid of ``scale`` times as many voxels.

    Args:
        scale: Whole number, at least 1.
        mode: ``nearest`` repeats voxels (order 0, as in the paper), ``bilinear`` and ``bicubic``
            interpolate between voxel centres.

    Shape:
        ``(C, X, Y)`` or ``(C, X, Y, S)``; output ``(C, scale X, scale Y[, S])``.

    Raises:
        ValueError: If ``scale < 1`` or ``mode`` is unknown.

    Source:
        docs/methods/micro_mri_denoise.md, "Preparation".
    """

    def __init__(self, scale: int = 2, mode: Mode = "nearest") -> None:
        if scale < 1:
            raise ValueError(f"scale must be at least 1, got {scale}")
        if mode not in ("nearest", "bilinear", "bicubic"):
            raise ValueError(f"mode must be nearest, bilinear or bicubic, got {mode!r}")
        self.scale = scale
        self.mode = mode

    def __call__(self, img: Tensor) -> Tensor:
        """Return the image on the finer grid."""
        values = torch.as_tensor(img).as_subclass(Tensor)
        fine = self._repeat(values) if self.mode == "nearest" else self._interpolate(values)
        if not isinstance(img, MetaTensor):
            return fine
        result = MetaTensor(fine, meta=img.meta, applied_operations=img.applied_operations)
        result.affine = finer_affine(img.affine, self.scale)
        return result

    def _repeat(self, values: Tensor) -> Tensor:
        """Repeat each voxel in the plane."""
        return values.repeat_interleave(self.scale, 1).repeat_interleave(self.scale, 2)

    def _interpolate(self, values: Tensor) -> Tensor:
        """Interpolate slice by slice."""
        stack = values.float() if values.ndim == 4 else values.float().unsqueeze(-1)
        slices = stack.permute(3, 0, 1, 2)
        # antialias: torch then uses Keys' kernel with a = -0.5, which reproduces ramps; its plain
        # bicubic has a = -0.75 and does not. On finer grids antialiasing does not blur.
        fine = interpolate(
            slices,
            scale_factor=self.scale,
            mode=self.mode,
            align_corners=False,
            antialias=self.mode == "bicubic",
        )
        fine = fine.permute(1, 2, 3, 0)
        return fine if values.ndim == 4 else fine.squeeze(-1)


class UpsampleInPlaned(MapTransform):
    """Apply :class:`UpsampleInPlane` to the named images.

    Args:
        keys: Images to bring to the finer grid.
        scale: See :class:`UpsampleInPlane`.
        mode: See :class:`UpsampleInPlane`.
        allow_missing_keys: Whether ``keys`` may be absent.
    """

    def __init__(
        self,
        keys: KeysCollection,
        scale: int = 2,
        mode: Mode = "nearest",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.upsample = UpsampleInPlane(scale, mode)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Bring the images to the finer grid."""
        result = dict(data)
        for key in self.key_iterator(result):
            result[key] = self.upsample(data[key])
        return result
