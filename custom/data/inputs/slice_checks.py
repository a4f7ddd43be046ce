"""Checks of an image before its slices are restored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from custom.files.image_faults import available_memory, check_image, image_fault, memory_fault
from custom.files.reader import ImageHeader
from custom.transforms.slice_axis import SliceAxis, check_slice_axis, find_slice_axis

__all__ = ["InputChecks", "header_fault"]


class InputChecks:
    """Refuse images that cannot or should not be restored.

    The header is checked first, so that a huge image is refused without being loaded.

    Args:
        min_size: Least number of voxels along each axis of a slice.
        memory_per_voxel: Bytes that the whole restoration needs for each voxel of the input.
        memory_per_slice_voxel: Bytes that the network needs for each voxel of the slices of one
            batch.
        slices_at_a_time: Slices of one batch.
        slice_axis: See :func:`custom.transforms.slice_axis.find_slice_axis`.
        memory: Returns the bytes that are free.

    Raises:
        ValueError: If ``min_size < 1``.
        InputError: If ``slice_axis`` names no axis.
    """

    def __init__(
        self,
        min_size: int = 16,
        memory_per_voxel: float = 0.0,
        memory_per_slice_voxel: float = 0.0,
        slices_at_a_time: int = 1,
        slice_axis: SliceAxis = "auto",
        memory: Callable[[], int] = available_memory,
    ) -> None:
        if min_size < 1:
            raise ValueError(f"min_size must be at least 1, got {min_size}")
        check_slice_axis(slice_axis)
        self.min_size = min_size
        self.memory_per_voxel = memory_per_voxel
        self.memory_per_slice_voxel = memory_per_slice_voxel
        self.slices_at_a_time = slices_at_a_time
        self.slice_axis = slice_axis
        self.memory = memory

    def __call__(self, path: str | Path) -> None:
        """Check one image.

        Raises:
            InputError: With the file, its fault and the remedy.
        """
        check_image(Path(path), self._header_fault, self._memory_fault)

    def _header_fault(self, header: ImageHeader) -> str | None:
        """Return the fault of type, geometry or shape, or None."""
        return header_fault(header, self.min_size, self.slice_axis)

    def _memory_fault(self, header: ImageHeader) -> str | None:
        """Return the fault of an image that does not fit the free memory, or None."""
        needed = self.memory_per_voxel * header.voxels
        length = 1
        if len(header.shape) == 3:
            length = header.shape[find_slice_axis(header.affine, header.shape, self.slice_axis)]
        slices = header.voxels / length * min(self.slices_at_a_time, length)
        needed += self.memory_per_slice_voxel * slices
        remedy = "split it, or use fewer slices at a time or a larger machine"
        return memory_fault(needed, self.memory(), remedy)


def header_fault(header: ImageHeader, min_size: int, slice_axis: SliceAxis) -> str | None:
    """Return the fault of an image's type, shape or geometry, or None.

    Args:
        header: Header of the image.
        min_size: Least number of voxels along each axis of a slice.
        slice_axis: ``auto``, or the axis that counts slices.
    """
    return image_fault(header) or _shape_fault(header, min_size, slice_axis)


def _shape_fault(header: ImageHeader, min_size: int, slice_axis: SliceAxis) -> str | None:
    """Return the fault of an image's shape, or None."""
    shape = header.shape
    if len(shape) > 3:
        return (
            f"{len(shape)}D with shape {shape}: split it into 3D images "
            "(nibabel.four_to_three, fslsplit or mrconvert -coord 3 N) and restore those"
        )
    in_plane = list(shape)
    if len(shape) == 3:
        del in_plane[find_slice_axis(header.affine, shape, slice_axis)]
    if len(shape) < 2 or min(in_plane) < min_size:
        found = " x ".join(map(str, in_plane))
        return f"too small: its slices are {found} voxels, at least {min_size} x {min_size} needed"
    return None
