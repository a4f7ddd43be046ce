"""One MONAI reader for all image formats that a restoration takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from monai.config import PathLike
from monai.data import ImageReader, NibabelReader
from monai.utils import ensure_tuple
from numpy.typing import NDArray

from custom.files.nifti_forms import load_nifti
from custom.files.nifti_volume import mm_per_unit, stated_map, stated_slice_axis
from custom.files.text_files import read_json
from custom.files.zarr_slices import ZarrSliceReader, open_stack

__all__ = [
    "Format",
    "ImageHeader",
    "InputReader",
    "format_of",
    "is_damaged_zarr",
    "name_of",
    "read_header",
]

Format = Literal["nifti", "zarr", "bruker"]

_NIFTI = (".nii.gz", ".nii")


@dataclass(frozen=True)
class ImageHeader:
    """Shape, affine and type of an image that is not loaded yet.

    Args:
        shape: Lengths of the axes, without trailing ones beyond the third.
        affine: ``(4, 4)``, voxel index to RAS millimetres.
        dtype: Type on disk; None for Bruker, whose reader takes real numbers only.
        slice_axis: Axis that the header names as the slices'; None if it names none.
        derived: How the header says that it is a map computed from images; None if it does not.
    """

    shape: tuple[int, ...]
    affine: NDArray[np.float64]
    dtype: np.dtype[Any] | None = None
    slice_axis: int | None = None
    derived: str | None = None

    @property
    def voxels(self) -> int:
        """Number of voxels."""
        return math.prod(self.shape)


def format_of(path: PathLike) -> Format | None:
    """Return the format that a path's name indicates, or None."""
    path = Path(path)
    if path.name.lower().endswith(_NIFTI):
        return "nifti"
    if path.name == "2dseq":
        return "bruker"
    return "zarr" if _zarr_node(path) == "array" else None


def name_of(path: PathLike) -> tuple[str, Path]:
    """Return a short name for an image, and the folder that it is relative to.

    ``scans/mouse1.nii.gz`` is ``mouse1`` in ``scans``; ``data/slices.zarr/mouse1/image`` is
    ``mouse1`` in ``data``; ``lab/study7/5/pdata/1/2dseq`` is ``study7_5_1`` in ``lab``.
    """
    path = Path(path)
    kind = format_of(path)
    if kind == "bruker" and len(path.parents) > 4 and path.parents[1].name == "pdata":
        study, scan, reconstruction = path.parents[3], path.parents[2], path.parents[0]
        return f"{study.name}_{scan.name}_{reconstruction.name}", study.parent
    if kind == "zarr":
        store = next((up for up in (path, *path.parents) if up.suffix == ".zarr"), path.parent)
        parts = path.relative_to(store).parts
        inner = parts[:-1] if parts and parts[-1] == "image" else parts
        return "_".join(inner) or store.stem, store.parent
    suffix = next((end for end in _NIFTI if path.name.lower().endswith(end)), path.suffix)
    return path.name[: len(path.name) - len(suffix)], path.parent


def read_header(path: PathLike) -> ImageHeader:
    """Read the header of an image without its values.

    Raises:
        ValueError: If the format is unknown.
        Exception: Whatever the format's library raises for a broken file.
    """
    kind = format_of(path)
    if kind == "nifti":
        image: Any = load_nifti(path)
        shape = tuple(int(length) for length in image.shape)
        # As squeeze_non_spatial_dims does when the image is loaded.
        while len(shape) > 3 and shape[-1] == 1:
            shape = shape[:-1]
        axis = stated_slice_axis(image.header["dim_info"])
        derived = stated_map(image.header)
        return ImageHeader(shape, _affine_mm(image), image.get_data_dtype(), axis, derived)
    if kind == "zarr":
        array, affine = open_stack(Path(path))
        # Slices come first on disk, where a slice is a chunk.
        shape = (*array.shape[1:], *array.shape[:1])
        return ImageHeader(shape, affine, array.dtype)
    if kind == "bruker":
        from custom.files.bruker import read_bruker_header

        bruker = read_bruker_header(Path(path))
        return ImageHeader(bruker.size, bruker.affine, derived=bruker.derived)
    raise ValueError(f"path must name a NIfTI, Zarr or Bruker image, got {path}")


def _affine_mm(image: Any) -> NDArray[np.float64]:
    """Return a NIfTI image's affine in millimetres, whatever unit its header states."""
    affine = np.array(image.affine, dtype=float)
    affine[:3] *= mm_per_unit(image.header["xyzt_units"])
    return affine


class InputReader(ImageReader):
    """Read NIfTI files, Zarr stacks and Bruker ``2dseq`` files, each with its own MONAI reader.

    Shape:
        As on disk: ``(X, Y)`` or ``(X, Y, S)``, with the affine to RAS millimetres.

    Raises:
        ValueError: If the format is unknown.
    """

    def __init__(self) -> None:
        super().__init__()
        self._reader: ImageReader | None = None

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:
        """Return True if every name indicates a format that is read here."""
        return all(format_of(name) is not None for name in ensure_tuple(filename))

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> Any:
        """Read images of one format with the reader of that format."""
        # Kept, since MONAI does not tell get_data which file it is called for.
        self._reader = _reader_of(ensure_tuple(data)[0])
        return self._reader.read(data, **kwargs)

    def get_data(self, img: Any) -> tuple[NDArray[Any], dict[Any, Any]]:
        """Return the array and MONAI's meta data of the image that was read last."""
        if self._reader is None:
            raise RuntimeError("get_data needs read to come first")
        array, meta = self._reader.get_data(img)
        return array, meta


class _NiftiReader(NibabelReader):
    """MONAI's reader, but the header stays as it is, and the affine is in millimetres.

    MONAI replaces an sform whose spacings are not ``pixdim`` by the qform, which moves every
    image that was registered by a general affine.
    """

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> Any:
        """Open the files."""
        self.filenames = ensure_tuple(data)
        images = [load_nifti(name, **{**self.kwargs, **kwargs}) for name in self.filenames]
        return images if len(images) > 1 else images[0]

    def _get_affine(self, img: Any) -> NDArray[np.float64]:
        """Return the affine in the unit that all our images have."""
        return _affine_mm(img)


def _reader_of(path: PathLike) -> ImageReader:
    """Return a reader for the format that a path's name indicates."""
    kind = format_of(path)
    if kind == "nifti":
        return _NiftiReader(squeeze_non_spatial_dims=True)
    if kind == "zarr":
        return ZarrSliceReader()
    if kind == "bruker":
        from custom.files.bruker import BrukerReader

        return BrukerReader()
    raise ValueError(f"path must name a NIfTI, Zarr or Bruker image, got {path}")


def is_damaged_zarr(path: Path) -> bool:
    """Return True if a folder has a ``zarr.json`` that does not say what it is."""
    return (path / "zarr.json").is_file() and _zarr_node(path) is None


def _zarr_node(path: Path) -> str | None:
    """Return ``array`` or ``group`` for a folder of a Zarr store, else None."""
    try:
        # Without opening the store: every folder of a search is asked.
        return str(read_json(path / "zarr.json")["node_type"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
