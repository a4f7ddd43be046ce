"""Stacks in a Zarr store, one slice a chunk, so that training reads single slices."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from monai.config import PathLike
from monai.data import ImageReader
from monai.utils import ImageMetaKey, MetaKeys, SpaceKeys, ensure_tuple
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec

from custom.errors import InputError
from custom.files.text_files import read_json

__all__ = [
    "ZarrSliceReader",
    "check_chunks",
    "number_of_slices",
    "open_stack",
    "split_slice",
    "write_stack",
    "zarr_fault",
]

_REMEDY = "copy the store, or prepare the dataset, again"
# Codecs that a chunk may have. The compressors state first what they unpack to: a few bytes may
# unpack to all memory.
_COMPRESSORS = ("blosc", "zstd")
_CODECS = ("bytes", "transpose", "crc32c", *_COMPRESSORS)
_SMALL = 2**26  # bytes of a chunk that may be larger than its array


def write_stack(
    path: str | Path, stack: NDArray[Any], affine: NDArray[Any], dtype: str = "float32"
) -> None:
    """Store a stack with one slice a chunk.

    Args:
        path: Folder of the array, for example ``slices.zarr/mouse01_axial_head-thorax/image``.
        stack: Intensities, ``(X, Y, S)``; stored as ``(S, X, Y)``.
        affine: ``(4, 4)``, voxel index to RAS millimetres.
        dtype: Type on disk: ``float32``, or ``float16`` for intensities of the order of 1.

    Raises:
        ValueError: If an intensity is too large for the type.
    """
    # An overflow is reported below, with the file and the value.
    with np.errstate(over="ignore"):
        slices = np.ascontiguousarray(np.moveaxis(stack, -1, 0), dtype=dtype)
    if np.isinf(slices).any():
        raise ValueError(f"{path}: intensities up to {np.max(stack):g} are too large for {dtype}")
    array = zarr.create_array(
        store=str(path),
        shape=slices.shape,
        chunks=(1, *slices.shape[1:]),
        dtype=dtype,
        # lz4: decoding takes far less time than a training step. It does not notice changed bytes.
        compressors=(BloscCodec(cname="lz4", clevel=5, shuffle="shuffle"), Crc32cCodec()),
        attributes={"affine": np.asarray(affine, dtype=float).tolist(), "axes": ["s", "x", "y"]},
        # Zarr would leave out a slice of zeros, which counts as missing when it is read.
        config={"write_empty_chunks": True},
        overwrite=True,
    )
    array[...] = slices


def split_slice(name: str) -> tuple[str, int | None]:
    """Split ``"store.zarr/scan/image#3"`` into the array's path and the slice, if one is named."""
    path, mark, index = str(name).rpartition("#")
    if not mark:
        return str(name), None
    if not index.isdigit():
        raise InputError(f"{name}: what follows '#' must be the number of a slice")
    return path, int(index)


def open_stack(path: str | Path) -> tuple[zarr.Array[Any], NDArray[np.float64]]:
    """Open an array that has a geometry, and return it with its affine.

    Raises:
        InputError: If there is no array, it is damaged or of Zarr v2, or has no affine. A level of
            OME-Zarr has its spacing in the folder above and no orientation, so it is refused.
    """
    header = Path(path) / "zarr.json"
    return _open_array(str(path), header.stat().st_mtime_ns if header.is_file() else 0)


def zarr_fault(folder: Path) -> str | None:
    """Return the reason why a folder cannot be read as an array of a Zarr store, or None."""
    if not (folder / "zarr.json").is_file():
        if any((folder / name).is_file() for name in (".zarray", ".zgroup")):
            return "of Zarr v2, only v3 is read: convert it, or give NIfTI"
        return "no Zarr array there; prepare the dataset again"
    try:
        content = read_json(folder / "zarr.json")
        kind, attributes = content["node_type"], content.get("attributes", {})
        placed = np.asarray(attributes.get("affine"), dtype=float)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"its zarr.json is damaged ({type(error).__name__}): copy it again"
    if kind != "array":
        return f"a {kind} of a Zarr store, no array"
    if placed.shape != (4, 4):
        return (
            "an array without geometry (attribute affine, 4 x 4, voxel to RAS millimetres), as a "
            "level of OME-Zarr, whose orientation is not known: convert it to NIfTI"
        )
    return None


def number_of_slices(path: str | Path) -> int:
    """Return the number of slices of a stored stack."""
    return int(open_stack(path)[0].shape[0])


@lru_cache(maxsize=1024)
def _open_array(path: str, _modified_ns: int) -> tuple[zarr.Array[Any], NDArray[np.float64]]:
    """Open an array once; the modification time in the key drops a store that was rewritten."""
    fault = zarr_fault(Path(path))
    if fault is not None:
        raise InputError(f"{path}: {fault}")
    array = zarr.open_array(path, mode="r")
    try:
        check_chunks(array)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
    return array, np.asarray(array.attrs.asdict()["affine"], dtype=float)


def check_chunks(array: zarr.Array[Any], heads: Iterable[bytes] = ()) -> None:
    """Raise ``ValueError`` for chunks that would unpack to more than their array's header states.

    Args:
        array: The array.
        heads: The first 18 bytes of chunks.
    """
    metadata: Any = array.metadata
    names = [codec.to_dict()["name"] for codec in metadata.codecs]
    if {*names} - {*_CODECS} or sum(name in _COMPRESSORS for name in names) > 1:
        raise ValueError(
            f"its chunks are written by {', '.join(names)}: write them by one of "
            f"{', '.join(_COMPRESSORS)} alone, without shards"
        )
    chunk, whole = (math.prod(part) * array.dtype.itemsize for part in (array.chunks, array.shape))
    if chunk > max(whole, _SMALL):
        raise ValueError("its chunks are larger than itself: is zarr.json damaged?")
    for head in heads:
        if _unpacked(head, names) > chunk + 4:  # with a checksum
            raise ValueError("a chunk would unpack to another size")


def _unpacked(head: bytes, codecs: Sequence[str]) -> float:
    """Return the bytes that a chunk unpacks to, by its first 18: infinite if they do not say.

    Source:
        C-Blosc's README_CHUNK_FORMAT; RFC 8878, section 3.1.1.1 (Zstandard).
    """
    if "blosc" in codecs:
        return int.from_bytes(head[4:8], "little") if len(head) >= 16 else math.inf
    if "zstd" not in codecs:
        return 0
    if len(head) < 6 or head[:4] != b"\x28\xb5\x2f\xfd":
        return math.inf
    flag, single, key = head[4] >> 6, head[4] >> 5 & 1, head[4] & 3
    width = (single, 2, 4, 8)[flag]
    start = 6 - single + (0, 1, 2, 4)[key]
    size = int.from_bytes(head[start : start + width], "little") + 256 * (width == 2)
    return size if width else math.inf


def _values(path: str, array: zarr.Array[Any], start: int, stop: int) -> NDArray[np.float32]:
    """Return the slices ``start`` to ``stop - 1``; Zarr itself reads a missing chunk as zeros."""
    grid, heads = array.chunks, []
    first = range(start // grid[0], -(-stop // grid[0]))
    others = (range(-(-n // c)) for n, c in zip(array.shape[1:], grid[1:], strict=True))
    for place in product(first, *others):
        try:
            with (Path(path) / array.metadata.encode_chunk_key(place)).open("rb") as file:
                heads.append(file.read(18))
        except FileNotFoundError:
            raise InputError(
                f"{path}: the chunk of slice {place[0] * grid[0]} is missing: {_REMEDY}"
            ) from None
    try:
        check_chunks(array, heads)
        return np.asarray(array[start:stop], np.float32)
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{path}: slices {start} to {stop - 1} are damaged ({reason}): {_REMEDY}"
        ) from error


class ZarrSliceReader(ImageReader):
    """Read a stack, or one slice of it without touching the others.

    A name is the path of an array inside a store, with ``#k`` for its slice ``k`` alone:
    ``"slices.zarr/mouse01_axial_head-thorax/image#3"``.

    Shape:
        A slice is ``(X, Y)``, a stack ``(X, Y, S)``, both float32 in memory.

    Raises:
        InputError: If there is no such array or slice.
    """

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:
        """Return True if every name lies inside a ``.zarr`` store."""
        return all(".zarr" in str(name) for name in ensure_tuple(filename))

    def read(self, data: Sequence[PathLike] | PathLike, **_: Any) -> Any:
        """Read the named slices or stacks, each with its affine and name."""
        return [self._read_one(str(name)) for name in ensure_tuple(data)]

    def get_data(self, img: Any) -> tuple[NDArray[np.float32], dict[Any, Any]]:
        """Return the array and MONAI's meta data of the first item that was read."""
        array, affine, name = img[0]
        return array, {
            MetaKeys.AFFINE: affine,
            MetaKeys.ORIGINAL_AFFINE: affine.copy(),
            MetaKeys.SPATIAL_SHAPE: np.asarray(array.shape),
            MetaKeys.SPACE: SpaceKeys.RAS,
            MetaKeys.ORIGINAL_CHANNEL_DIM: float("nan"),
            ImageMetaKey.FILENAME_OR_OBJ: name,
        }

    @staticmethod
    def _read_one(name: str) -> tuple[NDArray[np.float32], NDArray[np.float64], str]:
        """Read one name."""
        path, index = split_slice(name)
        stored, affine = open_stack(path)
        if index is None:
            stack = _values(path, stored, 0, stored.shape[0])
            return np.moveaxis(stack, 0, -1), affine, name
        if index >= stored.shape[0]:
            raise InputError(f"{path}: slice {index} asked for, the stack has {stored.shape[0]}")
        moved = affine.copy()
        moved[:3, 3] += index * affine[:3, 2]
        return _values(path, stored, index, index + 1)[0], moved, name
