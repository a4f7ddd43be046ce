"""Write the folder of a dataset: images of every scan by a specification, the list of them last."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from operator import mul
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from custom.errors import InputError
from custom.files.atomic import write_json
from custom.files.nifti_volume import write_volume
from custom.files.zarr_slices import write_stack

__all__ = [
    "DATALIST",
    "SPLITS",
    "DatasetKind",
    "DatasetWriter",
    "StoredImage",
]

DATALIST = "datalist.json"
SPLITS = ("training", "validation", "test")
_STORE = "slices.zarr"

Placed = tuple[NDArray[Any], NDArray[np.float64]]
"""An image and its ``(4, 4)`` affine, voxel index to RAS millimetres."""


class Table(Protocol):
    """One row for each measurement of a series, for example its gradients."""

    def __len__(self) -> int: ...

    def write_beside(self, image: Path) -> None:
        """Write the files of the table beside an image."""
        ...


@dataclass(frozen=True)
class StoredImage:
    """Storage of one image of a scan.

    Attributes:
        folder: Folder of the NIfTI files.
        dtype: Type on disk (NIfTI has no float16). Whole numbers are rounded and must fit.
        scale: Voxels for one of the scan's ``image``, along each axis; None: any grid.
        values: Length of a further axis; None: of no further axis.
    """

    folder: str
    dtype: DTypeLike = np.float32
    scale: tuple[int, int, int] | None = (1, 1, 1)
    values: int | None = None


@dataclass(frozen=True)
class DatasetKind:
    """Specification of a dataset: the images of every scan.

    Attributes:
        images: Images by the key of an item; ``image`` and ``label`` must be there, others may.
        slices: Type of the single slices of image and label in a Zarr store beside the NIfTI
            files, from which training reads; None: there is no store.
        series: Whether image and label are series, with a gradient table beside each.
    """

    images: Mapping[str, StoredImage]
    slices: Literal["float32", "float16"] | None = None
    series: bool = False


class DatasetWriter:
    """Write the scans of a dataset, and their list at the end.

    ``datalist.json`` has the Decathlon form and is written only in :meth:`close`, so its presence
    means that the dataset is complete. Files of an interrupted writer are removed by the next one.

    Args:
        folder: The dataset's folder. Other files in it, such as ``exclusions.csv``, stay.
        kind: Specification of the dataset.
        name: Name of the dataset.
        description: One line on what it is and where it comes from.
        demonstration: Whether it is synthetic demonstration data.

    Raises:
        InputError: If ``folder`` already holds a complete dataset.
    """

    def __init__(
        self,
        folder: str | Path,
        kind: DatasetKind,
        name: str,
        description: str,
        demonstration: bool = False,
    ) -> None:
        self.folder = Path(folder)
        self.kind = kind
        if (self.folder / DATALIST).exists():
            raise InputError(f"{self.folder} already holds a dataset: choose an empty folder")
        for part in (*(image.folder for image in kind.images.values()), _STORE):
            shutil.rmtree(self.folder / part, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.head: dict[str, Any] = {
            "name": name,
            "description": description,
            "modality": {"0": "MR"},
            "demonstration": demonstration,
        }
        self.items: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
        self._contents: dict[str, str] = {}  # scan by the hash of its voxels

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()

    def add(
        self,
        split: str,
        scan: str,
        images: Mapping[str, Placed],
        table: Table | None = None,
        **fields: Any,
    ) -> dict[str, Any]:
        """Write one scan.

        Args:
            split: ``training``, ``validation`` or ``test``.
            scan: Unique name of it, for example ``mouse01_axial_head-thorax``.
            images: Images by the keys of the kind, each with its affine.
            table: Gradients of a series, written beside its image and label.
            fields: More entries of the item: ``animal``, ``plane``, ``region``, ...

        Returns:
            The item as it stands in the list.

        Raises:
            ValueError: If the split or an image is unknown, the scan exists already, or shapes
                or values do not fit.
            InputError: If another scan has the same image or label, voxel by voxel.
        """
        self._check_name(split, scan)
        self._check_images(scan, images, table)
        self._check_new(scan, images)
        item: dict[str, Any] = {"scan": scan}
        for key, (array, affine) in images.items():
            stored = self.kind.images[key]
            item[key] = f"{stored.folder}/{scan}.nii.gz"
            values = _as_stored(array, stored.dtype)
            write_volume(self.folder / item[key], values, affine)
            if table is not None and key in ("image", "label"):
                table.write_beside(self.folder / item[key])
        if self.kind.slices is not None:
            item |= {"store": f"{_STORE}/{scan}", "num_slices": images["image"][0].shape[-1]}
            for key in ("image", "label"):
                write_stack(self.folder / item["store"] / key, *images[key], self.kind.slices)
        item |= fields
        self.items[split].append(item)
        return item

    def close(self) -> Path:
        """Write ``datalist.json`` and return its path.

        Raises:
            InputError: If no scan was added.
        """
        if not any(self.items.values()):
            raise InputError(f"no scan to write to {self.folder}")
        return write_json(self.folder / DATALIST, {**self.head, **self.items})

    def _check_name(self, split: str, scan: str) -> None:
        """Refuse an unknown split, and a name that is taken or cannot name a file."""
        if split not in SPLITS:
            raise ValueError(f"split must be one of {SPLITS}, got {split!r}")
        known = {item["scan"] for items in self.items.values() for item in items}
        # In names of slices, '#' separates the array's path from the number.
        if scan in known or not scan or "/" in scan or "#" in scan:
            raise ValueError(f"scan must be a new name without '/' or '#', got {scan!r}")

    def _check_new(self, scan: str, images: Mapping[str, Placed]) -> None:
        """Refuse an image that is a copy: one subject would count as two."""
        for key in ("image", "label"):
            array = np.ascontiguousarray(images[key][0], np.float32)
            content = f"{array.shape} {hashlib.sha256(array.data).hexdigest()}"
            other = self._contents.setdefault(content, scan)
            if other != scan:
                raise InputError(
                    f"{key} of {scan} has the same voxels as one of {other}: take one of them out"
                )

    def _check_images(self, scan: str, images: Mapping[str, Placed], table: Table | None) -> None:
        """Refuse images that do not form a valid dataset."""
        known = self.kind.images
        if not {"image", "label"} <= images.keys() <= known.keys():
            raise ValueError(f"{scan}: image and label, and of {tuple(known)}, got {[*images]}")
        if self.kind.series != (table is not None):
            raise ValueError(f"table of {scan} must be given for a series, and only for one")
        grid = images["image"][0].shape[:3]
        for key, (array, _) in images.items():
            last = known[key].values
            if table is not None and key in ("image", "label"):
                last = len(table)
            scale = known[key].scale
            space = array.shape[:3] if scale is None else tuple(map(mul, grid, scale))
            if len(grid) != 3 or array.shape != (*space, *([] if last is None else [last])):
                raise ValueError(f"{key} of {scan} does not fit its image, got {array.shape}")
            if not np.isfinite(array).all():
                raise ValueError(f"{key} of {scan} must be finite")
            limits = np.iinfo(known[key].dtype) if np.dtype(known[key].dtype).kind in "iu" else None
            if limits and not (limits.min <= array.min() and array.max() <= limits.max):
                raise ValueError(
                    f"{key} of {scan} must lie in {limits.min}..{limits.max}, got "
                    f"{array.min():g}..{array.max():g}"
                )


def _as_stored(array: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
    """Return an array in the type on disk, rounded to whole numbers."""
    whole = np.dtype(dtype).kind in "iu"
    # astype alone cuts towards 0, which lowers magnitudes by half a unit on average.
    return (np.round(array) if whole else np.asarray(array)).astype(dtype)
