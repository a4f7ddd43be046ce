"""Checks of an image before it is restored: of a stack of slices, or of a 3D volume."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import get_args

from custom.errors import InputError
from custom.files.image_faults import available_memory, check_image, image_fault, memory_fault
from custom.files.map_names import DerivedMaps
from custom.files.reader import ImageHeader
from custom.physics.acquisition import axis_scales
from custom.physics.downsampling import Scale
from custom.setting_checks import check_choice, check_whole
from custom.transforms.slice_axis import SliceAxis, find_slice_axis
from custom.transforms.super_resolution import RestorationMode, check_mode

__all__ = ["ImageChecks", "InputChecks", "VolumeChecks"]


class ImageChecks(ABC):
    """Refuse files that are no images to restore.

    The header is checked first, so that a huge image is refused without being loaded.

    Args:
        derived_maps: ``refuse`` or ``allow`` maps computed from images, by their headers.

    Raises:
        ValueError: If ``derived_maps`` is another word.
    """

    def __init__(self, derived_maps: DerivedMaps) -> None:
        check_choice("derived_maps", derived_maps, get_args(DerivedMaps))
        self.derived_maps: DerivedMaps = derived_maps

    def __call__(self, path: str | Path) -> None:
        """Check one image.

        Raises:
            InputError: With the file, its fault and the remedy.
        """
        size_fault = partial(self._size_fault, Path(path))
        check_image(Path(path), self._header_fault, size_fault, self.derived_maps)

    @abstractmethod
    def _header_fault(self, header: ImageHeader) -> str | None:
        """Return the fault of type, geometry or shape, or None."""

    @abstractmethod
    def _size_fault(self, path: Path, header: ImageHeader) -> str | None:
        """Return the fault of what does not fit the memory or the model, or None."""


class InputChecks(ImageChecks):
    """Refuse images that cannot or should not be restored slice by slice.

    Args:
        min_size: Least number of voxels along each axis of a slice.
        min_slices: Least number of slices; 3D volumes alone if above 1.
        memory_per_voxel: Bytes that the whole restoration needs for each voxel of the input.
        memory_per_slice_voxel: Bytes that the network needs for each voxel of the slices of one
            batch.
        slices_at_a_time: Slices of one batch.
        slice_axis: See :func:`custom.transforms.slice_axis.find_slice_axis`.
        memory: Returns the bytes that are free.
        derived_maps: See :class:`ImageChecks`.

    Raises:
        ValueError: If ``min_size`` or ``min_slices`` is no whole number of at least 1, or
            ``slice_axis`` names no axis.
    """

    def __init__(
        self,
        min_size: int = 16,
        min_slices: int = 1,
        memory_per_voxel: float = 0.0,
        memory_per_slice_voxel: float = 0.0,
        slices_at_a_time: int = 1,
        slice_axis: SliceAxis = "auto",
        memory: Callable[[], int] = available_memory,
        derived_maps: DerivedMaps = "refuse",
    ) -> None:
        super().__init__(derived_maps)
        check_whole("min_size", min_size, 1)
        check_whole("min_slices", min_slices, 1)
        check_choice("slice_axis", slice_axis, get_args(SliceAxis))
        self.min_size = min_size
        self.min_slices = min_slices
        self.memory_per_voxel = memory_per_voxel
        self.memory_per_slice_voxel = memory_per_slice_voxel
        self.slices_at_a_time = slices_at_a_time
        self.slice_axis = slice_axis
        self.memory = memory

    def _header_fault(self, header: ImageHeader) -> str | None:
        """Return the fault of type, geometry or shape, or None."""
        fault = image_fault(header) or _series_fault(header.shape, "images")
        if fault is not None:
            return fault
        in_plane = list(header.shape)
        slices = in_plane.pop(self._axis_of(header)) if len(in_plane) == 3 else 1
        if slices < self.min_slices:
            return f"too few slices: {slices}, at least {self.min_slices} needed"
        if len(in_plane) < 2 or min(in_plane) < self.min_size:
            found = " x ".join(map(str, in_plane))
            least = f"{self.min_size} x {self.min_size}"
            return f"too small: its slices are {found} voxels, at least {least} needed"
        return None

    def _axis_of(self, header: ImageHeader) -> int:
        """Return the axis that counts slices."""
        return find_slice_axis(header.affine, header.shape, self.slice_axis, header.slice_axis)

    def _size_fault(self, _: Path, header: ImageHeader) -> str | None:
        """Return the fault of an image that does not fit the free memory, or None."""
        needed = self.memory_per_voxel * header.voxels
        length = 1
        if len(header.shape) == 3:
            length = header.shape[self._axis_of(header)]
        slices = header.voxels / length * min(self.slices_at_a_time, length)
        needed += self.memory_per_slice_voxel * slices
        remedy = "split it, or use fewer slices at a time or a larger machine"
        return memory_fault(needed, self.memory(), remedy)


class VolumeChecks(ImageChecks):
    """Refuse files that are no 3D magnitude volume, or too small or too large for the model.

    Args:
        min_size: Smallest number of voxels along each axis of the volume to restore.
        mode: With ``halve`` the volume to restore is smaller by ``1 / scale``.
        scale: Scale factor of the model: one number, or one an axis.
        network_scale: How many times finer the network's result is than its input.
        check_memory: Raises :class:`~custom.errors.InputError` if a network input of that many
            voxels along its axes does not fit the memory.
        derived_maps: See :class:`ImageChecks`.

    Raises:
        ValueError: If ``mode`` is unknown.
        ValueError: If ``min_size`` is no whole number above 0.
    """

    def __init__(
        self,
        min_size: int = 8,
        mode: RestorationMode = "super_resolve",
        scale: Scale = 2,
        network_scale: int = 2,
        check_memory: Callable[[Sequence[int]], None] | None = None,
        derived_maps: DerivedMaps = "refuse",
    ) -> None:
        super().__init__(derived_maps)
        check_mode(mode, scale)
        check_whole("min_size", min_size, 1)
        self.divisor = axis_scales(scale)[0] if mode == "halve" else 1
        self.finer = [max(factor // network_scale, 1) for factor in axis_scales(scale)]
        self.min_size = min_size
        self.check_memory = check_memory

    def _header_fault(self, header: ImageHeader) -> str | None:
        """Return the fault of type, geometry or shape, or None."""
        shape = header.shape
        fault = image_fault(header) or _series_fault(shape, "volumes")
        if fault is not None:
            return fault
        if len(shape) < 3:
            return f"{len(shape)}D with shape {shape}: the model restores 3D volumes only"
        least = self.min_size * self.divisor
        if min(shape) < least:
            found = " x ".join(map(str, shape))
            return f"too small: {found} voxels, at least {least} along each axis needed"
        return None

    def _size_fault(self, _: Path, header: ImageHeader) -> str | None:
        """Return the fault of a volume that does not fit the memory, or None."""
        if self.check_memory is None:
            return None
        try:
            sizes = [-(-length // self.divisor) for length in header.shape]
            self.check_memory([f * n for f, n in zip(self.finer, sizes, strict=True)])
        except InputError as error:
            return str(error)
        return None


def _series_fault(shape: tuple[int, ...], what: str) -> str | None:
    """Return the fault of an image with more than three axes, or None."""
    if len(shape) <= 3:
        return None
    return (
        f"{len(shape)}D with shape {shape}: split it into 3D {what} "
        "(nibabel.four_to_three, fslsplit or mrconvert -coord 3 N) and restore those"
    )
