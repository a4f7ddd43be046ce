"""The folder in which diffusion series with known truth lie, and how it is written."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from custom.data.atomic import atomic_path, write_json
from custom.data.gradient_table import GradientTable, tables_beside
from custom.data.paired_dataset import DATALIST, SPLITS
from custom.errors import InputError

__all__ = ["DwiDatasetWriter", "write_series", "write_volume"]

_FOLDERS = {
    "image": "images",
    "label": "labels",
    "mask": "masks",
    "tensor": "tensors",
    "s0": "s0",
}


class DwiDatasetWriter:
    """Write noisy and noiseless series, and the list of them last.

    ``datalist.json`` appears only in :meth:`close`: where it is, the dataset is complete. What an
    interrupted writer left is cleared by the next one.

    Args:
        folder: The dataset's folder.
        name: Name of the dataset.
        description: One line on what it is and where it comes from.
        demonstration: Whether it is synthetic demonstration data.

    Raises:
        InputError: If ``folder`` already holds a complete dataset.
    """

    def __init__(
        self, folder: str | Path, name: str, description: str, demonstration: bool = False
    ) -> None:
        self.folder = Path(folder)
        if (self.folder / DATALIST).exists():
            raise InputError(f"{self.folder} already holds a dataset: choose an empty folder")
        for part in _FOLDERS.values():
            shutil.rmtree(self.folder / part, ignore_errors=True)
        self.head: dict[str, Any] = {
            "name": name,
            "description": description,
            "modality": {"0": "MR"},
            "demonstration": demonstration,
        }
        self.items: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}

    def add(
        self,
        split: str,
        scan: str,
        arrays: dict[str, NDArray[Any]],
        table: GradientTable,
        affine: NDArray[np.float64],
        **fields: Any,
    ) -> None:
        """Write one scan.

        Args:
            split: ``training``, ``validation`` or ``test``.
            scan: Unique name of it.
            arrays: ``image`` and ``label``, ``(X, Y, Z, M)``; where they are known, ``mask`` and
                ``s0``, ``(X, Y, Z)``, and ``tensor``, ``(X, Y, Z, 6)`` in µm²/ms.
            table: Of the ``M`` measurements.
            affine: ``(4, 4)``, voxel index to RAS millimetres.
            fields: More entries of the item.

        Raises:
            ValueError: If the split or an array is unknown, the scan is there already, or shapes
                or values do not fit together.
        """
        self._check(split, scan, arrays, len(table))
        item: dict[str, Any] = {"scan": scan}
        for key, array in arrays.items():
            item[key] = f"{_FOLDERS[key]}/{scan}.nii.gz"
            if key in ("image", "label"):
                write_series(self.folder / item[key], array, table, affine)
            else:
                write_volume(self.folder / item[key], array, affine)
        self.items[split].append(item | fields)

    def close(self) -> Path:
        """Write ``datalist.json`` and return its path.

        Raises:
            InputError: If no scan was added.
        """
        if not any(self.items.values()):
            raise InputError(f"no scan to write to {self.folder}")
        return write_json(self.folder / DATALIST, {**self.head, **self.items})

    def _check(
        self, split: str, scan: str, arrays: dict[str, NDArray[Any]], measurements: int
    ) -> None:
        """Refuse what would make a broken dataset."""
        if split not in SPLITS:
            raise ValueError(f"split must be one of {SPLITS}, got {split!r}")
        known = {item["scan"] for items in self.items.values() for item in items}
        if scan in known or not scan or "/" in scan:
            raise ValueError(f"scan must be a new name without '/', got {scan!r}")
        if not {"image", "label"} <= arrays.keys() <= _FOLDERS.keys():
            raise ValueError(f"{scan}: image and label, and of {tuple(_FOLDERS)}, got {[*arrays]}")
        space = arrays["image"].shape[:3]
        last = {"image": (measurements,), "label": (measurements,), "tensor": (6,)}
        for key, array in arrays.items():
            if array.shape != (*space, *last.get(key, ())):
                raise ValueError(f"{key} of {scan} does not fit its image, got {array.shape}")
            if not np.isfinite(array).all():
                raise ValueError(f"{key} of {scan} must be finite")


def write_series(
    path: Path, array: NDArray[Any], table: GradientTable, affine: NDArray[np.float64]
) -> None:
    """Write a series ``(X, Y, Z, M)`` as NIfTI, with its b-values and directions beside it."""
    table.write(*tables_beside(path))
    write_volume(path, array, affine)


def write_volume(path: Path, array: NDArray[Any], affine: NDArray[np.float64]) -> None:
    """Write NIfTI in millimetres, whole or not at all: float32, or uint8 as it is."""
    image = nib.Nifti1Image(array if array.dtype == np.uint8 else array.astype(np.float32), affine)
    image.header.set_xyzt_units("mm")
    with atomic_path(path) as temporary:
        nib.save(image, temporary)
