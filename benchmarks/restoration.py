"""Restoring a 300 x 300 x 30 stack: our model against DIPY's non-local means.

Each method reads the same 150 x 150 x 30 NIfTI file and writes its result, in a process of its own,
whose peak memory is taken; importing is not timed. SSIM is against the simulated 12-minute scan.

Run: ``python -m benchmarks.restoration``
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
    measure_restoring,
    model_code,
    plain_figures,
    restoring_table,
)
from custom.demo.mouse.mouse_anatomy import Mouse
from custom.demo.mouse.mouse_scan import Protocol, scan_pair
from custom.metrics.ssim import structural_similarity

BUNDLE = REPOSITORY / "bundles" / "micro_mri_denoise"
NAMES = {
    "model": "our model",
    "nlm_coarse": "non-local means on the acquired grid, then bicubic",
    "nlm_fine": "bicubic, then non-local means with DIPY's defaults",
}
NON_LOCAL_MEANS = """
from dipy.denoise.nlmeans import nlmeans
from custom.transforms.non_local_means import estimated_noise, non_local_means
from custom.transforms.upsample_in_plane import upsample_in_plane
begin = time.process_time()
low = nib.load(source)
stack = torch.from_numpy(low.get_fdata(dtype=np.float32))[None]
{work}
nib.save(nib.Nifti1Image(fine, low.affine), target + "/scan_restored.nii.gz")
"""
COARSE = """
coarse = torch.from_numpy(non_local_means(stack[0].numpy()))[None]
fine = upsample_in_plane(coarse, 2, "bicubic")[0].numpy()
"""
FINE = """
fine = upsample_in_plane(stack, 2, "bicubic")[0].numpy()
fine = nlmeans(fine.astype(float), estimated_noise(fine), patch_radius=1, block_radius=5,
               rician=False, method="classic").astype(np.float32)
"""


def run() -> dict[str, Any]:
    """Make the stack, restore it in three ways, and compare."""
    pair = scan_pair(
        Mouse(np.random.SeedSequence((0, 2000))),
        "coronal",
        "thorax-abdomen",
        Protocol(num_slices=30),
        np.random.SeedSequence((0, 2000, 1)),
    )
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "scan.nii.gz"
        nib.save(nib.Nifti1Image(pair.image, pair.image_affine), source)
        figures = {name: contender(name, source, pair.label) for name in NAMES}
    model = figures["model"]["seconds"].median
    for name in ("nlm_coarse", "nlm_fine"):
        figures[f"{name}_over_model_time"] = figures[name]["seconds"].median / model
    plain = plain_figures(figures)
    save("restoration", plain)
    return plain


def contender(name: str, source: Path, reference: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Measure one method."""
    code = {
        "model": model_code(BUNDLE),
        "nlm_coarse": NON_LOCAL_MEANS.format(work=COARSE),
        "nlm_fine": NON_LOCAL_MEANS.format(work=FINE),
    }[name]
    figures, file = measure_restoring(code, source, source.parent / name)
    restored = nib.load(file).get_fdata(dtype=np.float32)
    return figures | {"ssim": stack_ssim(restored, reference)}


def stack_ssim(restored: np.ndarray[Any, Any], reference: np.ndarray[Any, Any]) -> float:
    """Return the mean SSIM over slices, with the range of the reference stack."""
    first, second = (
        torch.from_numpy(np.moveaxis(stack, -1, 0).copy())[:, None].float()
        for stack in (restored, reference)
    )
    data_range = float(reference.max() - reference.min())
    return float(structural_similarity(first, second, data_range).mean())


def table(figures: dict[str, Any]) -> str:
    """Return the result as a table in Markdown."""
    return restoring_table(figures, NAMES, "ssim", "SSIM")


if __name__ == "__main__":
    print(table(run()))
