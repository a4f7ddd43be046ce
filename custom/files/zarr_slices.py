"""Stacks in a Zarr store, one slice a chunk, so that training reads single slices."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from monai.config import PathLike
from monai.data import ImageReader
from monai.utils import ImageMetaKey, MetaKeys, SpaceKeys, ensure_tuple
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

from custom.errors import InputError

__all__ = ["ZarrSliceReader", "split_slice", "write_stack"]


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
        # lz4: decoding takes far less time than a training step.
        compressors=BloscCodec(cname="lz4", clevel=5, shuffle="shuffle"),
        attributes={"affine": np.asarray(affine, dtype=float).tolist(), "axes": ["s", "x", "y"]},
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


@lru_cache(maxsize=1024)
def _open_array(path: str, _modified_ns: int) -> tuple[zarr.Array[Any], NDArray[np.float64]]:
    """Open an array once; the modification time in the key drops a store that was rewritten."""
    array = zarr.open_array(path, mode="r")
    affine = np.asarray(array.attrs.asdict().get("affine", np.eye(4)), dtype=float)
    return array, affine


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
        header = Path(path) / "zarr.json"
        if not header.is_file():
            raise InputError(f"{path}: no Zarr array there; prepare the dataset again")
        stored, affine = _open_array(path, header.stat().st_mtime_ns)
        if index is None:
            return np.moveaxis(np.asarray(stored[...], np.float32), 0, -1), affine, name
        if index >= stored.shape[0]:
            raise InputError(f"{path}: slice {index} asked for, the stack has {stored.shape[0]}")
        moved = affine.copy()
        moved[:3, 3] += index * affine[:3, 2]
        return np.asarray(stored[index], np.float32), moved, name
