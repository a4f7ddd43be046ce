"""Real scans, with nothing taken away, brought to voxels of half the size: what needs no partner.

Run: ``python -m benchmarks.acquired_finer --data FOLDER --work FOLDER``, which prints the table of
``docs/results/acquired.md``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.acquired_cases import Repeat, Truth, truths
from benchmarks.acquired_methods import cubic, lanczos, run_ours
from benchmarks.publishing import markdown

_LARGEST = 96
_BEYOND = 0.05  # of the tissue
Array = NDArray[np.float64]


def phase_difference(fine: Array) -> float:
    """Return by how much the mean of one of the eight sub-voxel phases differs most, as a share.

    Where it is not 0, a lattice of twice the voxel size lies over the image.
    """
    phases = [fine[i::2, j::2, k::2].mean() for i in (0, 1) for j in (0, 1) for k in (0, 1)]
    return float(np.max(np.abs(np.array(phases) / np.mean(phases) - 1)))


def overshoot(fine: Array, coarse: Array, tissue: float) -> float:
    """Return the share of voxels beyond all scanned voxels near them, by 5 % of the tissue.

    Near are 3 x 3 x 3 voxels. Haloes and ringing are there, and so is detail that is finer than the
    voxels.
    """
    limits = [
        filtered(coarse, 3).repeat(2, 0).repeat(2, 1).repeat(2, 2)
        for filtered in (ndimage.minimum_filter, ndimage.maximum_filter)
    ]
    beyond = (fine < limits[0] - _BEYOND * tissue) | (fine > limits[1] + _BEYOND * tissue)
    return float(beyond.mean())


def finer_table(data: Path, work: Path) -> str:
    """Return the table of the volumes of 1 mm that no training saw."""
    found = [truth for truth in truths(data, _LARGEST) if round(_voxel(truth), 2) == 1.0]
    cases = [Repeat(truth, "finer", 0.0, 0, (1, 1, 1), single=truth.values) for truth in found]
    folder = run_ours("finer", "{}", cases, work)
    rows = []
    for case in cases:
        coarse = case.single.astype(np.float64)
        made = {
            "cubic": cubic(case.single),
            "Lanczos": lanczos(case.single),
            "ours": np.asarray(nib.load(folder / f"{case.name}_restored.nii.gz").dataobj),
        }
        cells = []
        for fine in (image.astype(np.float64) for image in made.values()):
            cells += [
                f"{100 * phase_difference(fine):.3f} %",
                f"{100 * overshoot(fine, coarse, case.truth.tissue):.2f} %",
            ]
        rows.append([case.truth.scan, *cells])
    heads = [f"{name}, {what}" for name in made for what in ("phases", "beyond")]
    return markdown(["volume", *heads], rows)


def _voxel(truth: Truth) -> float:
    """Return the largest edge of a voxel in millimetres."""
    return float(np.linalg.norm(truth.affine[:3, :3], axis=0).max())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with the open data")
    parser.add_argument("--work", type=Path, required=True, help="inputs and results; kept")
    given = parser.parse_args()
    print(finer_table(given.data.resolve(), given.work.resolve()))
