"""Restoring a 100 x 100 x 60 x 32 diffusion series: our model against Patch2Self and MP-PCA.

Each method reads the same NIfTI file, treats the same head, and writes its result, in a process of
its own, whose peak memory is taken; importing is not timed. Ours besides checks the input, finds
the head and the noise, and writes deviations, maps and provenance. The error is against the
noiseless series, in units of the noise variance.

Run: ``python -m benchmarks.dwi_restoration``
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch

from benchmarks.measure import REPOSITORY, save
from benchmarks.restoring_process import (
    RUNS,
    measure_restoring,
    model_code,
    plain_figures,
    restoring_table,
)
from custom.demo.diffusion.dwi_anatomy import make_phantom
from custom.files.nifti_volume import write_volume
from custom.physics.diffusion.gradient_table import read_gradient_table
from custom.physics.diffusion.tensor import tensor_signal

BUNDLE = REPOSITORY / "bundles" / "dwi_vae"
SHAPE = (100, 100, 60)
NOISE = 0.1  # of the median S0
NAMES = {"model": "our model", "patch2self": "DIPY Patch2Self", "mppca": "DIPY MP-PCA"}
OTHER = """
from dipy.denoise.localpca import mppca
from dipy.denoise.patch2self import patch2self
begin = time.process_time()
image = nib.load(source)
values = image.get_fdata(dtype=np.float32)
{work}
nib.save(nib.Nifti1Image(np.asarray(made, np.float32), image.affine), target + "/a_restored.nii.gz")
"""
WORK = {
    # The first version, whose result is the same at every call (custom.transforms.dwi_baselines).
    "patch2self": "bvals = np.loadtxt({bval!r})\n"
    "made = patch2self(values, bvals, version=1, shift_intensity=False)\n"
    "made += (values - made).mean((0, 1, 2))",
    "mppca": "made = mppca(values, mask=np.asarray(nib.load({mask!r}).dataobj) > 0)",
}


def run(shape: tuple[int, int, int] = SHAPE, runs: int = RUNS) -> dict[str, Any]:
    """Make the series, restore it in three ways, and compare."""
    with tempfile.TemporaryDirectory() as folder:
        source, truth, inside, noise = make_series(Path(folder), shape)
        figures: dict[str, Any] = {"shape": [*shape, truth.shape[-1]], "voxels": int(inside.sum())}
        for name in NAMES:
            figures[name], file = contender(name, source, runs)
            error = (nib.load(file).get_fdata(dtype=np.float32) - truth)[inside]
            figures[name]["error"] = float((error**2).mean() / noise**2)
    for name in ("patch2self", "mppca"):
        ratio = figures[name]["seconds"].median / figures["model"]["seconds"].median
        figures[f"{name}_over_model_time"] = ratio
    plain = plain_figures(figures)
    save("dwi_restoration", plain)
    return plain


def make_series(folder: Path, shape: tuple[int, int, int]) -> tuple[Path, Any, Any, float]:
    """Write a noisy series and the mask of the head; return its path, truth, mask and noise."""
    protocol = BUNDLE / "configs" / "protocols"
    table = read_gradient_table(protocol / "paper.bval", protocol / "paper.bvec")
    phantom = make_phantom(shape, 2.0, 60, table.b_rows, np.random.SeedSequence(0))
    tensors = torch.from_numpy(np.asarray(phantom.tensor, dtype=np.float32))
    signals = tensor_signal(tensors, table.b_rows).numpy()
    truth = (np.asarray(phantom.s0)[..., None] * signals).astype(np.float32)
    inside = np.asarray(phantom.mask) > 0
    noise = NOISE * float(np.median(np.asarray(phantom.s0)[inside]))
    rng = np.random.default_rng(0)
    noisy = np.maximum(truth + noise * rng.standard_normal(truth.shape, dtype=np.float32), 0)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    table.write_beside(folder / "scan.nii.gz")
    write_volume(folder / "scan.nii.gz", noisy, affine)
    write_volume(folder / "mask.nii.gz", inside.astype(np.uint8), affine)
    return folder / "scan.nii.gz", truth, inside, noise


def contender(name: str, source: Path, runs: int) -> tuple[dict[str, Any], Path]:
    """Measure one method; return its figures and the restored series."""
    bval, mask = (str(source.parent / file) for file in ("scan.bval", "mask.nii.gz"))
    code = (
        model_code(BUNDLE)
        if name == "model"
        else OTHER.format(work=WORK[name].format(bval=bval, mask=mask))
    )
    return measure_restoring(code, source, source.parent / name, runs)


def table(figures: dict[str, Any]) -> str:
    """Return the result as a table in Markdown."""
    return restoring_table(figures, NAMES, "error", "error")


if __name__ == "__main__":
    print(table(run()))
