"""Bring the slice axis of a stack last, where slice-wise methods want it, and back."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.data.utils import to_affine_nd
from monai.transforms import MapTransform
from monai.utils import ImageMetaKey
from torch import Tensor

from custom.files.nifti_volume import stated_slice_axis
from custom.setting_checks import check_choice

__all__ = ["SliceAxis", "SliceAxisBackd", "SliceAxisLastd", "find_slice_axis"]

logger = logging.getLogger(__name__)

SliceAxis = Literal["auto", 0, 1, 2]

# Between isotropic scans written with rounded spacings and the least anisotropic stacks
# (3D scans with partitions of 1.2 mm and pixels of 0.94 mm: 1.28).
_ANISOTROPY = 1.2
# Stored slice axis of a 2D image, which has none.
_NO_AXIS = -1


def find_slice_axis(
    affine: Any,
    shape: Sequence[int],
    slice_axis: SliceAxis = "auto",
    stated: int | None = None,
) -> int:
    """Return the spatial axis that counts slices.

    ``auto`` takes the only axis of length one; else the one that the header states; else the axis
    of the largest spacing, if that is more than 1.2 times the next; else the last.

    Args:
        affine: ``(4, 4)``, voxel index to millimetres.
        shape: Lengths of the three spatial axes.
        slice_axis: ``auto``, or the axis.
        stated: Axis that the header names (``dim_info`` of NIfTI) or its BIDS sidecar; None if
            neither does.

    Raises:
        ValueError: If ``slice_axis`` is neither ``auto`` nor 0, 1 or 2.
    """
    check_choice("slice_axis", slice_axis, get_args(SliceAxis))
    if slice_axis != "auto":
        return slice_axis
    single = [axis for axis, length in enumerate(shape) if length == 1]
    if len(single) == 1:
        return single[0]
    if stated is not None:
        return stated
    spacing = torch.as_tensor(affine, dtype=torch.float64)[:3, :3].norm(dim=0)
    second, largest = spacing.sort().values[1:]
    return int(spacing.argmax()) if largest > _ANISOTROPY * second else 2


class SliceAxisLastd(MapTransform):
    """Move the slice axis last; a 2D image becomes a stack of one slice.

    The affine is changed accordingly, so every voxel keeps its world coordinates. The original axis
    is stored under ``f"{key}_slice_axis"`` (-1 for a 2D image), for :class:`SliceAxisBackd`.

    Args:
        keys: Images to transpose.
        slice_axis: See :func:`find_slice_axis`.

    Shape:
        ``(C, X, Y, Z)`` or ``(C, X, Y)``; output ``(C, A, B, S)``.

    Raises:
        ValueError: If ``slice_axis`` is neither ``auto`` nor 0, 1 or 2.
    """

    def __init__(
        self,
        keys: KeysCollection,
        slice_axis: SliceAxis = "auto",
    ) -> None:
        super().__init__(keys)
        check_choice("slice_axis", slice_axis, get_args(SliceAxis))
        self.slice_axis = slice_axis

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Turn the images."""
        result = dict(data)
        for key in self.key_iterator(result):
            image = data[key]
            if image.ndim == 3:
                axis = _NO_AXIS
                result[key] = _with_affine(image, image.unsqueeze(-1), [0, 1, 2])
            else:
                axis = self._axis_of(image)
                result[key] = _move_axis(image, axis, 2)
            result[f"{key}_slice_axis"] = axis
        return result

    def _axis_of(self, image: Tensor) -> int:
        """Return the axis that counts the slices of a 3D image."""
        if not isinstance(image, MetaTensor):
            return find_slice_axis(torch.eye(4), image.shape[1:], self.slice_axis)
        stated = stated_slice_axis(image.meta.get("dim_info", 0))
        axis = find_slice_axis(image.affine, image.shape[1:], self.slice_axis, stated)
        widest = find_slice_axis(image.affine, image.shape[1:])
        spacing = image.affine[:3, :3].norm(dim=0)
        # Programs that turn an image may leave dim_info as it was.
        if self.slice_axis == "auto" and spacing[widest] > _ANISOTROPY * spacing[axis]:
            logger.warning(
                "%s: slices are counted along axis %d, as its header (dim_info) or JSON sidecar "
                "(SliceEncodingDirection) says, though axis %d has clearly the largest spacing: if "
                "that is wrong, give --slice_axis %d",
                image.meta.get(ImageMetaKey.FILENAME_OR_OBJ, "an image"),
                axis,
                widest,
                widest,
            )
        return axis


class SliceAxisBackd(MapTransform):
    """Undo :class:`SliceAxisLastd`.

    Args:
        keys: Images to transpose back.
        axis_key: Key of the stored axis, ``f"{key}_slice_axis"``.

    Shape:
        ``(C, A, B, S)``; output ``(C, X, Y, Z)``, or ``(C, X, Y)`` if it was a 2D image.
    """

    def __init__(self, keys: KeysCollection, axis_key: str) -> None:
        super().__init__(keys)
        self.axis_key = axis_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Turn the images back."""
        result = dict(data)
        axis = int(data[self.axis_key])
        for key in self.key_iterator(result):
            image = data[key]
            if axis == _NO_AXIS:
                result[key] = _with_affine(image, image.squeeze(-1), [0, 1, 2])
            else:
                result[key] = _move_axis(image, 2, axis)
        return result


def _move_axis(image: Tensor, source: int, target: int) -> Tensor:
    """Move one spatial axis, and the affine's column with it."""
    order = [0, 1, 2]
    order.insert(target, order.pop(source))
    return _with_affine(image, image.movedim(source + 1, target + 1), order)


def _with_affine(image: Tensor, turned: Tensor, order: list[int]) -> Tensor:
    """Return a transposed image with the meta data of the image, affine columns in ``order``."""
    if not isinstance(image, MetaTensor):
        return turned
    affine = to_affine_nd(3, image.affine)
    # Of a plain tensor MONAI copies the meta data, so that the image keeps its own affine.
    result = MetaTensor(
        torch.as_tensor(turned).as_subclass(Tensor),
        meta=image.meta,
        applied_operations=image.applied_operations,
    )
    result.affine = affine[:, [*order, 3]]
    return result
