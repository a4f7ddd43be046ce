"""What a restoration refuses, and how it says so."""

from __future__ import annotations

import gzip
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import psutil
from monai.utils import MetaKeys
from numpy.typing import NDArray

from custom.data.input_formats import ImageHeader, InputReader, format_of, read_header
from custom.errors import InputError
from custom.transforms.slice_axis import SliceAxis, check_slice_axis, find_slice_axis

__all__ = ["InputChecks", "header_fault", "value_fault"]

# Share of the signal (sum of absolute values) that may be negative. Measured: at most 0.0002 in
# MR magnitudes after interpolation; about half in phase images and CT.
_NEGATIVE_SHARE = 0.05
# Share of neighbouring non-zero voxels of the same value, when all values are whole numbers.
# Measured: at least 0.86 in label maps, at most 0.35 in MR images of 8 bits.
_EQUAL_SHARE = 0.7
_GIGABYTE = 1e9

T = TypeVar("T")


def available_memory() -> int:
    """Return the bytes that can be taken without swapping."""
    return int(psutil.virtual_memory().available)


class InputChecks:
    """Refuse images that cannot or should not be restored.

    The header is looked at first, so a huge image is refused without being loaded.

    Args:
        min_size: Least number of voxels along each axis of a slice.
        memory_per_voxel: Bytes that the whole restoration needs for each voxel of the input.
        memory_per_slice_voxel: Bytes that the network needs for each voxel of the slices it
            treats at a time.
        slices_at_a_time: Slices that the network treats at a time.
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
            InputError: Naming the file, what is wrong with it and what to do.
        """
        path = Path(path)
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
        if format_of(path) is None:
            raise InputError(
                f"{path}: not an image that is read here: give NIfTI (.nii, .nii.gz), an array of "
                "a Zarr store, or a Bruker 2dseq"
            )
        header = _readable(path, read_header)
        fault = header_fault(header, self.min_size, self.slice_axis) or self._memory_fault(header)
        if fault is None:
            array, loaded = _readable(path, _load)
            fault = header_fault(loaded, self.min_size, self.slice_axis) or value_fault(array)
        if fault is not None:
            raise InputError(f"{path}: {fault}")

    def _memory_fault(self, header: ImageHeader) -> str | None:
        """Compare the memory that a restoration needs with what is free."""
        needed = self.memory_per_voxel * header.voxels
        length = 1
        if len(header.shape) == 3:
            length = header.shape[find_slice_axis(header.affine, header.shape, self.slice_axis)]
        slices = header.voxels / length * min(self.slices_at_a_time, length)
        needed += self.memory_per_slice_voxel * slices
        free = self.memory()
        if needed <= free:
            return None
        return (
            f"too large: restoring it needs about {needed / _GIGABYTE:.1f} GB of memory, "
            f"{free / _GIGABYTE:.1f} GB is free: split it, or use fewer slices at a time or a "
            "larger machine"
        )


def header_fault(header: ImageHeader, min_size: int, slice_axis: SliceAxis) -> str | None:
    """Return what is wrong with an image's type, shape or geometry, or None.

    Args:
        header: What is known of the image.
        min_size: Least number of voxels along each axis of a slice.
        slice_axis: ``auto``, or the axis that counts slices.
    """
    if header.dtype is not None and header.dtype.fields is not None:
        return "a colour (RGB) image, not an MR magnitude: give the original grey values"
    if header.dtype is not None and header.dtype.kind == "c":
        return "a complex image: give its magnitude"
    if header.voxels == 0:
        return "empty: it holds no voxel"
    if not np.isfinite(header.affine).all():
        return "its affine is not finite: mend the header (sform, qform)"
    # Relative to the spacings, so that an affine in metres passes.
    spacing = np.linalg.norm(header.affine[:3, :3], axis=0)
    if not (spacing > 0).all() or abs(np.linalg.det(header.affine[:3, :3] / spacing)) < 1e-3:
        return "its affine is singular (axes that coincide): mend the header (sform, qform)"
    return _shape_fault(header, min_size, slice_axis)


def _shape_fault(header: ImageHeader, min_size: int, slice_axis: SliceAxis) -> str | None:
    """Return what is wrong with an image's shape, or None."""
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


def value_fault(array: NDArray[Any]) -> str | None:
    """Return why intensities cannot be those of an MR magnitude image, or None.

    Args:
        array: Real intensities of any shape.
    """
    broken = array.size - int(np.isfinite(array).sum())
    if broken:
        return f"{broken} of {array.size} voxels are NaN or infinite: mend or mask them"
    low, high = float(array.min()), float(array.max())
    if low == high:
        return f"all voxels are {low:g}: nothing to restore"
    negative = -float(array[array < 0].sum(dtype=float))
    share = negative / float(np.abs(array).sum(dtype=float))
    if share > _NEGATIVE_SHARE:
        return (
            f"not an MR magnitude: negative values down to {low:g} are {share:.0%} of the signal, "
            "as in CT, phase or standardised images: give the magnitude"
        )
    if _is_label_map(array):
        return "a mask or label map (even patches of whole numbers), not an MR magnitude"
    return None


def _is_label_map(array: NDArray[Any]) -> bool:
    """Say whether the values are whole numbers in even patches."""
    if not np.array_equal(array, np.rint(array)):
        return False
    equal = pairs = 0
    for axis in range(array.ndim):
        ahead = np.moveaxis(array, axis, 0)[1:]
        behind = np.moveaxis(array, axis, 0)[:-1]
        inside = (ahead != 0) & (behind != 0)
        pairs += int(inside.sum())
        equal += int((inside & (ahead == behind)).sum())
    return pairs == 0 or equal / pairs > _EQUAL_SHARE


def _load(path: Path) -> tuple[NDArray[np.float32], ImageHeader]:
    """Load an image as the restoration will see it."""
    if path.suffix.lower() == ".gz":
        _read_to_the_checksum(path)
    reader = InputReader()
    array, meta = reader.get_data(reader.read(str(path)))
    header = ImageHeader(array.shape, np.asarray(meta[MetaKeys.AFFINE]), array.dtype)
    with np.errstate(over="ignore"):  # float64 beyond float32 becomes infinite, and is reported
        return array.astype(np.float32), header


def _read_to_the_checksum(path: Path) -> None:
    """Raise for a compressed file with changed bytes; nibabel stops before the checksum."""
    with gzip.open(path) as file:
        while file.read(2**20):
            pass


def _readable(path: Path, read: Callable[[Path], T]) -> T:
    """Call a reader, with one line for whatever goes wrong in it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # libraries warn of headers; we say what matters
            return read(path)
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(f"{path}: too large for the free memory") from error
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{path}: cannot be read, so it is damaged or no image ({reason})"
        ) from error
