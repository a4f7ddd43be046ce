"""Faults of an image file that no model can restore: format, header, values, memory."""

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

from custom.errors import InputError
from custom.files.map_names import DerivedMaps
from custom.files.nifti_forms import EXTENSIONS_UP_TO, affine_fault
from custom.files.nifti_volume import stated_slice_axis
from custom.files.reader import ImageHeader, InputReader, format_of, read_header

__all__ = [
    "available_memory",
    "check_image",
    "image_fault",
    "is_label_file",
    "load_image",
    "memory_fault",
    "readable",
    "value_fault",
]

# Share of the signal (sum of absolute values) that may be negative. Measured: at most 0.0002 in
# MR magnitudes after interpolation; about half in phase images and CT.
_NEGATIVE_SHARE = 0.05
# Share of neighbouring non-zero voxels of the same value, when all values are whole numbers.
# Measured: at least 0.86 in label maps, at most 0.35 in MR images of 8 bits.
_EQUAL_SHARE = 0.7
_GIGABYTE = 1e9
_BESIDES = EXTENSIONS_UP_TO + 2**20  # bytes in a NIfTI file that are no voxels
_LOADED = 24  # bytes for each voxel while an image is loaded and looked at

T = TypeVar("T")


def available_memory() -> int:
    """Return the bytes of memory that are free without swapping."""
    return int(psutil.virtual_memory().available)


def memory_fault(needed: float, free: float, remedy: str) -> str | None:
    """Return the fault of an image that is too large for the memory, or None.

    Args:
        needed: Bytes that it needs.
        free: Bytes that are free.
        remedy: Advice to the user.
    """
    if needed <= free:
        return None
    return (
        f"too large: it needs about {needed / _GIGABYTE:.1f} GB of memory, "
        f"{free / _GIGABYTE:.1f} GB is free: {remedy}"
    )


def check_image(
    path: Path,
    header_fault: Callable[[ImageHeader], str | None],
    size_fault: Callable[[ImageHeader], str | None],
    derived_maps: DerivedMaps = "refuse",
) -> None:
    """Refuse a file that is no image, or whose header, size or values are unusable.

    The header is checked first, so that a huge image is refused without being loaded.

    Args:
        path: The file.
        header_fault: Returns the fault of a header, or None.
        size_fault: Returns the fault of an image that does not fit the memory, or None.
        derived_maps: Whether to refuse or to allow what its header says is a computed map.

    Raises:
        InputError: With the file, its fault and the remedy.
    """
    if path.is_symlink() and not path.exists():
        raise InputError(f"{path}: a link to a file that is not here: fetch it (datalad get)")
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if format_of(path) is None:
        raise InputError(
            f"{path}: not an image that is read here: give NIfTI (.nii, .nii.gz), an array of "
            "a Zarr store, or a Bruker 2dseq"
        )
    header = readable(path, read_header)
    fault = None if derived_maps == "allow" else _map_fault(header)
    fault = fault or header_fault(header) or size_fault(header)
    if fault is None:
        array, loaded = readable(path, load_image)
        # Again: Bruker's header does not tell how many echoes or repetitions a slice has.
        fault = header_fault(loaded) or value_fault(array)
    if fault is not None:
        raise InputError(f"{path}: {fault}")


def _map_fault(header: ImageHeader) -> str | None:
    """Return the fault of an image that its header calls a map, or None."""
    if header.derived is None:
        return None
    return (
        f"a map computed from images ({header.derived}), not an MR image: give the images, or "
        "insist with --derived_maps allow"
    )


def image_fault(header: ImageHeader) -> str | None:
    """Return the fault of an image's type or geometry, or None."""
    if header.dtype is not None and header.dtype.fields is not None:
        return "a colour (RGB) image, not an MR magnitude: give the original grey values"
    if header.dtype is not None and header.dtype.kind == "c":
        return "a complex image: give its magnitude"
    if header.voxels == 0:
        return "empty: it holds no voxel"
    return affine_fault(header.affine)


def value_fault(array: NDArray[Any]) -> str | None:
    """Return the reason why intensities are not those of an MR magnitude image, or None.

    Args:
        array: Real intensities of any shape.
    """
    broken = array.size - int(np.isfinite(array).sum())
    if broken:
        return f"{broken} of {array.size} voxels are NaN or infinite: mend or mask them"
    low, high = float(array.min()), float(array.max())
    if low == high:
        return f"all voxels are {low:g}: nothing to restore"
    # A few spikes must neither make an image no magnitude, nor hide that it is none.
    highest = np.percentile(np.abs(array), 99) or np.inf
    signal = array.clip(-highest, highest)
    negative = -float(signal[signal < 0].sum(dtype=float))
    share = negative / float(np.abs(signal).sum(dtype=float))
    if share > _NEGATIVE_SHARE:
        return (
            f"not an MR magnitude: negative values down to {low:g} are {share:.0%} of the signal, "
            "as in CT, phase or standardised images: give the magnitude"
        )
    if _is_label_map(array):
        return "a mask or label map (even patches of whole numbers), not an MR magnitude"
    return None


def is_label_file(path: Path) -> bool:
    """Return True if a file is an image with the values of a mask or of a label map."""
    try:  # a file too large to be loaded for this question is none, whatever it holds
        array, _ = readable(path, load_image)
    except InputError:
        return False
    return bool(np.isfinite(array).all() and array.min() < array.max()) and _is_label_map(array)


def _is_label_map(array: NDArray[Any]) -> bool:
    """Return True if the values are whole numbers in uniform patches."""
    if not np.array_equal(array, np.rint(array)):
        return False
    equal = pairs = 0
    for axis in range(array.ndim):
        ahead = np.moveaxis(array, axis, 0)[1:]
        behind = np.moveaxis(array, axis, 0)[:-1]
        # Zeros do not count: a brain-extracted image is 0 in large patches, too.
        inside = (ahead != 0) & (behind != 0)
        pairs += int(inside.sum())
        equal += int((inside & (ahead == behind)).sum())
    return pairs == 0 or equal / pairs > _EQUAL_SHARE


def load_image(path: Path) -> tuple[NDArray[np.float32], ImageHeader]:
    """Load an image as a restoration does, with the checksum of a compressed file verified.

    Raises:
        InputError: If its header declares more voxels than the free memory can hold, or a
            compressed file goes on beyond them.
    """
    declared = read_header(path)
    width = 4 if declared.dtype is None else declared.dtype.itemsize
    # Bruker's header does not tell how many echoes a slice has.
    stored = path.stat().st_size if declared.dtype is None else 0
    needed = max(declared.voxels * _LOADED, 5 * stored)
    fault = memory_fault(needed, available_memory(), "split it, or use a larger machine")
    if fault is not None:
        raise InputError(f"{path}: {fault}")
    if path.suffix.lower() == ".gz":
        _read_to_the_checksum(path, declared.voxels * width + _BESIDES)
    reader = InputReader()
    array, meta = reader.get_data(reader.read(str(path)))
    axis = stated_slice_axis(meta.get("dim_info", 0))
    header = ImageHeader(array.shape, np.asarray(meta[MetaKeys.AFFINE]), array.dtype, axis)
    with np.errstate(over="ignore"):  # float64 beyond float32 becomes infinite, and is reported
        return array.astype(np.float32), header


def _read_to_the_checksum(path: Path, longest: int) -> None:
    """Raise for a compressed file with changed bytes; nibabel does not read the checksum.

    Raises:
        InputError: If it unpacks to more than ``longest`` bytes: a few bytes may become an hour.
    """
    with gzip.open(path) as file:
        # In pieces: decompressed at once, a large volume could exceed the memory.
        while file.read(2**20):
            if file.tell() > longest:
                raise InputError(f"{path}: unpacks to far more than its header declares: damaged?")


def readable(path: Path, read: Callable[[Path], T]) -> T:
    """Call a reader, and turn any of its errors into one line.

    Raises:
        InputError: Naming the file, if it cannot be read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # libraries warn about headers that are checked here
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
