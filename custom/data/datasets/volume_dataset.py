"""The folder in which volumes and their low-resolution partners lie, and how it is written."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from custom.data.datasets.dataset_writer import DatasetWriter
from custom.files.nifti_volume import write_volume
from custom.physics.downsampling import downsample, low_affine

__all__ = ["VolumeDatasetWriter", "low_resolution_partner"]


class VolumeDatasetWriter(DatasetWriter):
    """Write volumes as int16 with partners of half the resolution, and the list of them last.

    The partner is made by antialiased linear downsampling, and lies on the grid that belongs to
    it. Training and evaluation read the volumes alone and lower their resolution themselves.

    Arguments and errors are those of :class:`custom.data.datasets.dataset_writer.DatasetWriter`.
    """

    folders = ("images", "labels")

    def add(
        self,
        split: str,
        scan: str,
        label: NDArray[Any],
        affine: NDArray[np.float64],
        **fields: Any,
    ) -> None:
        """Write one volume.

        Args:
            split: ``training``, ``validation`` or ``test``.
            scan: Unique name of it.
            label: ``(X, Y, Z)`` in scanner units, rounded to whole numbers.
            affine: ``(4, 4)``, voxel index to RAS millimetres.
            fields: More entries of the item.

        Raises:
            ValueError: If the split is unknown, the scan is there already, or the volume is not
                three-dimensional, not finite or beyond int16.
        """
        self._check_name(split, scan)
        limit = np.iinfo(np.int16).max
        if label.ndim != 3 or not np.isfinite(label).all() or np.abs(label).max() > limit:
            raise ValueError(f"label of {scan} must be (X, Y, Z), finite and at most {limit}")
        item = {
            "scan": scan,
            "image": f"images/{scan}.nii.gz",
            "label": f"labels/{scan}.nii.gz",
        }
        high = np.round(label).astype(np.int16)
        write_volume(self.folder / item["label"], high, affine)
        write_volume(self.folder / item["image"], *low_resolution_partner(high, affine))
        self.items[split].append(item | fields)


def low_resolution_partner(
    label: NDArray[Any], affine: NDArray[np.float64]
) -> tuple[NDArray[np.int16], NDArray[np.float64]]:
    """Return a volume at half the resolution (antialiased linear), and its affine.

    Args:
        label: ``(X, Y, Z)``, within int16.
        affine: ``(4, 4)``, voxel index to RAS millimetres.
    """
    high = torch.from_numpy(np.asarray(label, dtype=np.float32))[None, None]
    low = downsample(high, "linear")[0, 0].round().to(torch.int16).numpy()
    return low, low_affine(torch.from_numpy(affine), "linear").numpy()
