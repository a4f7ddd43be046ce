"""The folder in which diffusion series with known truth lie, and how it is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from custom.data.datasets.dataset_writer import DatasetWriter
from custom.files.nifti_volume import write_volume
from custom.physics.diffusion.gradient_table import GradientTable, tables_beside

__all__ = ["DwiDatasetWriter", "write_series"]

_FOLDERS = {
    "image": "images",
    "label": "labels",
    "mask": "masks",
    "tensor": "tensors",
    "s0": "s0",
}


class DwiDatasetWriter(DatasetWriter):
    """Write noisy and noiseless series, and the list of them last.

    Arguments and errors are those of :class:`custom.data.datasets.dataset_writer.DatasetWriter`.
    """

    folders = tuple(_FOLDERS.values())

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

    def _check(
        self, split: str, scan: str, arrays: dict[str, NDArray[Any]], measurements: int
    ) -> None:
        """Refuse what would make a broken dataset."""
        self._check_name(split, scan)
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
