"""Read the pixels of a pair and bring both scans to matching grids."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import fourier_shift, shift

from custom.data.datasets.dataset_writer import Placed
from custom.data.preparation.cropping import crop, foreground_box
from custom.data.preparation.scans.scan_description import ScanDescription
from custom.data.preparation.scans.scan_pairing import ScanPair
from custom.errors import InputError
from custom.files.atomic import sha256_of
from custom.files.bruker import read_2dseq
from custom.files.image_faults import load_image, readable, value_fault
from custom.physics.downsampling import high_affine

__all__ = ["PairLoader", "sample_shifted", "sample_shifted_regions"]

# In fine voxels: below it two boxes differ by rounding only.
_SAME_BOX = 0.02


class PairLoader:
    """Read pairs, align their grids and crop the background.

    Args:
        align_grids: Whether to bring the default scan, by a Fourier shift of at most about a
            voxel, to the box of the fast one. ParaVision's grids lie half a fine voxel apart, which
            would count as an error of every method that does not shift. A mask is shifted too, by
            the nearest number of whole voxels.
        crop_background: Whether to crop the air around the body.
        crop_margin_mm: Air to keep on each side.
    """

    def __init__(
        self,
        align_grids: bool = True,
        crop_background: bool = True,
        crop_margin_mm: float = 2.0,
    ) -> None:
        self.align_grids = align_grids
        self.crop_background = crop_background
        self.crop_margin_mm = crop_margin_mm

    def __call__(self, pair: ScanPair) -> tuple[dict[str, Placed], dict[str, Any]]:
        """Read one pair.

        Returns:
            ``image``, ``(X, Y, S)``, ``label``, ``(2X, 2Y, S)``, and ``mask`` on the grid of the
            label if there is a file of it, each with its affine; and a record of files and
            processing steps.

        Raises:
            InputError: If a file cannot be read, or holds no magnitudes.
        """
        fast, default = pair.fast, pair.default
        image, label = _read(fast), _read(default)
        mask = None if default.mask is None else _read_mask(default.mask, default)
        label_affine = default.affine
        shift = tuple(s if abs(s) > _SAME_BOX else 0.0 for s in pair.shift_voxels)
        whole = (_nearest(shift[0]), _nearest(shift[1])) if self.align_grids else (0, 0)
        if mask is not None:
            mask = sample_shifted_regions(mask, whole)
        if self.align_grids:
            label = sample_shifted(label, (shift[0], shift[1]))
            # The shifted scan fills the box of the fast one.
            label_affine = high_affine(torch.as_tensor(fast.affine), "acquired", (2, 2, 1)).numpy()
        record: dict[str, Any] = {
            "fast": _record(fast),
            "default": _record(default),
            "label_shift_voxels": list(shift),
            "label_shifted": self.align_grids and any(shift),
        } | ({} if mask is None else {"mask_shift_voxels": list(whole)})
        image_affine = fast.affine
        if self.crop_background:
            # The default scan shows the body best; its box is searched on the fast scan's grid, so
            # that the box has whole voxels on both grids.
            coarse = label.reshape(image.shape[0], 2, image.shape[1], 2, -1).mean(axis=(1, 3))
            box = foreground_box(coarse, fast.spacing_mm[:2].tolist(), self.crop_margin_mm)
            image, image_affine = crop(image, image_affine, box)
            if mask is not None:
                mask, _ = crop(mask, label_affine, box.finer(2))
            label, label_affine = crop(label, label_affine, box.finer(2))
            record["crop"] = {"start": list(box.start), "stop": list(box.stop)}
        images = {"image": (image, image_affine), "label": (label, label_affine)}
        return images if mask is None else images | {"mask": (mask, label_affine)}, record


def _nearest(shift: float) -> int:
    """Return the nearest whole number.

    A half, the distance of ParaVision's grids, is rounded towards zero despite rounding errors: a
    mask then stays where it was drawn, and all scans are treated alike.
    """
    return int(math.copysign(math.ceil(abs(shift) - 0.5 - _SAME_BOX), shift))


def _read(scan: ScanDescription) -> NDArray[np.float32]:
    """Read a stack of magnitudes."""
    stack = (
        read_2dseq(scan.path)[0]
        if scan.path.name == "2dseq"
        else readable(scan.path, load_image)[0]
    )
    if stack.ndim != 3:
        raise InputError(f"{scan.source}: {stack.shape[3]} images a slice, one is needed")
    fault = value_fault(stack)
    if fault is not None:
        raise InputError(f"{scan.source}: {fault}")
    return stack


def _read_mask(path: Path, scan: ScanDescription) -> NDArray[np.uint8]:
    """Read the regions that lie on the default scan's grid."""
    regions, _ = readable(path, load_image)
    if regions.shape != scan.size:
        raise InputError(f"{path}: mask of shape {regions.shape}, the scan has {scan.size}")
    return np.asarray(np.rint(regions), dtype=np.uint8)


def _record(scan: ScanDescription) -> dict[str, Any]:
    """Return the record of a scan."""
    record = {
        "source": scan.source,
        "sha256": sha256_of(scan.path),
        "parameters": dict(scan.parameters),
    }
    return record | ({"remarks": list(scan.remarks)} if scan.remarks else {})


def sample_shifted(stack: NDArray[Any], shift_voxels: tuple[float, float]) -> NDArray[np.float32]:
    r"""Sample each slice at positions shifted in its plane, by Fourier interpolation.

    .. math:: y(i, j) = x(i + s_0, j + s_1)

    Exact for a slice that the scanner sampled without aliasing. Values below zero, from ringing at
    sharp edges, are set to zero, since magnitudes are not negative.

    Args:
        stack: Magnitudes, ``(X, Y, S)``.
        shift_voxels: ``s``, in voxels.

    Returns:
        The shifted stack; the same values if the shift is zero.
    """
    if not any(shift_voxels):
        return stack.astype(np.float32)
    moved = np.empty(stack.shape, np.float32)
    for index in range(stack.shape[-1]):
        spectrum = fourier_shift(np.fft.fft2(stack[..., index]), [-s for s in shift_voxels])
        moved[..., index] = np.fft.ifft2(spectrum).real
    # A stack that has negative values keeps its range: it is not a plain magnitude.
    return np.maximum(moved, min(0.0, float(stack.min())))


def sample_shifted_regions(
    regions: NDArray[np.uint8], shift_voxels: tuple[int, int]
) -> NDArray[np.uint8]:
    r"""Sample region numbers at positions shifted by whole voxels, without interpolation.

    .. math:: y(i, j) = x(i + s_0, j + s_1)

    Args:
        regions: Numbers of regions, ``(X, Y, S)``.
        shift_voxels: ``s``, in voxels.

    Returns:
        The shifted regions; 0, no region, where the position lies outside.
    """
    offset = (-shift_voxels[0], -shift_voxels[1], 0)
    return np.asarray(shift(regions, offset, order=0, mode="constant", cval=0), dtype=np.uint8)
