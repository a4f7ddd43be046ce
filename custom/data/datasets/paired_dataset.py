"""The folder in which a paired dataset lies, and how it is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from custom.data.datasets.dataset_writer import DatasetWriter
from custom.files.zarr_slices import write_stack

__all__ = ["PairedDatasetWriter"]

_STORE = "slices.zarr"


class PairedDatasetWriter(DatasetWriter):
    """Write pairs of stacks as NIfTI and Zarr, and the list of them last.

    Arguments and errors are those of :class:`custom.data.datasets.dataset_writer.DatasetWriter`.
    """

    folders = ("images", "labels", "masks", _STORE)

    def add(
        self,
        split: str,
        scan: str,
        image: NDArray[Any],
        image_affine: NDArray[Any],
        label: NDArray[Any],
        label_affine: NDArray[Any],
        mask: NDArray[Any] | None = None,
        **fields: Any,
    ) -> dict[str, Any]:
        """Write one pair.

        Args:
            split: ``training``, ``validation`` or ``test``.
            scan: Unique name of the pair, for example ``mouse01_axial_head-thorax``.
            image: The fast scan, ``(X, Y, S)``.
            image_affine: Its ``(4, 4)`` affine to RAS millimetres.
            label: The default scan, ``(2X, 2Y, S)``.
            label_affine: Its affine.
            mask: Optional ``(2X, 2Y, S)``: 1 in the region of interest, 2 in the background.
            fields: More entries of the item: ``animal``, ``plane``, ``region``, ...

        Returns:
            The item as it stands in the list.

        Raises:
            ValueError: If the split is unknown, the scan is there already, or the shapes or
                values do not fit together.
        """
        self._check(split, scan, image, label, mask)
        item: dict[str, Any] = {"image": f"images/{scan}.nii.gz", "label": f"labels/{scan}.nii.gz"}
        _write_nifti(self.folder / item["image"], image.astype(np.float32), image_affine)
        _write_nifti(self.folder / item["label"], label.astype(np.float32), label_affine)
        if mask is not None:
            item["mask"] = f"masks/{scan}.nii.gz"
            _write_nifti(self.folder / item["mask"], mask.astype(np.uint8), label_affine)
        item["store"] = f"{_STORE}/{scan}"
        write_stack(self.folder / item["store"] / "image", image, image_affine)
        write_stack(self.folder / item["store"] / "label", label, label_affine)
        item |= {"scan": scan, "num_slices": int(image.shape[-1]), **fields}
        self.items[split].append(item)
        return item

    def _check(
        self,
        split: str,
        scan: str,
        image: NDArray[Any],
        label: NDArray[Any],
        mask: NDArray[Any] | None,
    ) -> None:
        """Refuse what would make a broken dataset."""
        self._check_name(split, scan)
        if image.ndim != 3:
            raise ValueError(f"image of {scan} must be (X, Y, S), got {image.shape}")
        expected = (2 * image.shape[0], 2 * image.shape[1], image.shape[2])
        if label.shape != expected or (mask is not None and mask.shape != expected):
            raise ValueError(f"label and mask of {scan} must be {expected}, got {label.shape}")
        if not (np.isfinite(image).all() and np.isfinite(label).all()):
            raise ValueError(f"image and label of {scan} must be finite")


def _write_nifti(path: Path, array: NDArray[Any], affine: NDArray[Any]) -> None:
    """Write a NIfTI file in millimetres with the affine as scanner coordinates."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(array, np.asarray(affine, dtype=float))
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    nib.save(image, path)
