"""The whole chain on real data: prepare, quality control, train, evaluate, restore.

Needs a folder with open data that this repository does not hold:

- ``mouse/*_T2w_150um_brain.nii.gz``: in vivo mouse brains, 0.15 mm isotropic, brain-extracted
  (github.com/dama-lab/mouse-brain-atlas, GPL-3.0). Slices of 0.6 mm are made by averaging four; the
  fast partner of each stack is simulated in k-space with the noise that physics gives it.
- ``bruker/bru_banana``: a ParaVision study (github.com/SebastianoF/bruker2nifti, MIT).
- ``clinical_2d/*_T2W.nii.gz``: a thick-slice clinical stack (github.com/muschellij2/open_ms_data,
  CC-BY).

Run: ``python -m benchmarks.real_data --data FOLDER --work FOLDER [--max_epochs N]``
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.measure import REPOSITORY, RESULTS
from custom.bundle.launch import run_bundle
from custom.evaluation.summary_file import summary_text
from custom.physics.kspace_acquisition import (
    DEFAULT_SCAN,
    FAST_SCAN,
    simulate_low_resolution,
    snr_ratio,
)

BUNDLE = REPOSITORY / "bundles" / "micro_mri_denoise"
PICTURES = REPOSITORY / "docs" / "images"
AVERAGED = 4  # voxels of 0.15 mm in a slice of 0.6 mm
LEAST_BRAIN = 0.1  # part of a slice that is brain, in the slices that are kept
SPLIT = {
    "training": [
        *("fvb-wt1", "fvb-wt2", "fvb-wt3", "fvb-wt4"),
        *("rtg4510-10", "rtg4510-11", "rtg4510-12", "rtg4510-13", "rtg4510-14"),
    ],
    "validation": ["fvb-wt5", "rtg4510-16"],
    "test": ["fvb-wt6", "rtg4510-17", "rtg4510-18"],
}


def thick_slices(volume: Any) -> Iterator[tuple[str, NDArray[np.float32], NDArray[np.float64]]]:
    """Give the three stacks of thick slices that an isotropic volume can be cut into."""
    values = np.asarray(volume.dataobj, dtype=np.float32)
    names = {"R": "sagittal", "L": "sagittal", "A": "coronal", "P": "coronal"}
    for axis, code in enumerate(nib.aff2axcodes(volume.affine)):
        order = [*(other for other in range(3) if other != axis), axis]
        moved = np.transpose(values, order)
        count = moved.shape[2] // AVERAGED
        stack = moved[..., : count * AVERAGED].reshape(*moved.shape[:2], count, AVERAGED).mean(-1)
        # The ends of a brain-extracted stack are all but empty: divided by their mean, a few voxels
        # would outweigh every whole slice, in training as in the figures.
        kept = np.flatnonzero((stack > 0).mean(axis=(0, 1)) > LEAST_BRAIN)
        stack = stack[..., kept[0] : kept[-1] + 1]
        step = np.eye(4)
        step[2, 2], step[2, 3] = AVERAGED, (AVERAGED - 1) / 2 + AVERAGED * int(kept[0])
        affine = volume.affine[:, [*order, 3]] @ step
        yield names.get(code, "axial"), stack.astype(np.float32), affine


def in_plane_noise(stack: NDArray[Any]) -> float:
    """Return the noise inside the brain of a stack whose background is exactly zero.

    The median magnitude of a second difference along both in-plane axes, over the deviation that
    it has for white noise; two voxels of the brain's border are left out. Fine anatomy counts as
    noise, so it is an upper bound.

    Args:
        stack: ``(X, Y, S)``.

    Source:
        Immerkaer, "Fast noise variance estimation", 1996: its kernel, with the median.
    """
    second = np.array([1.0, -2.0, 1.0])
    kernel = np.outer(second, second)[..., None]
    difference = ndimage.convolve(stack.astype(float), kernel)
    inside = ndimage.binary_erosion(stack > 0, np.ones((5, 5, 1)))
    gaussian_median = 0.6745  # median of |x| of a standard normal variable
    return float(
        np.median(np.abs(difference[inside])) / gaussian_median / np.sqrt((kernel**2).sum())
    )


def write_pairs(source: Path, target: Path) -> dict[str, float]:
    """Write the fast and the default scan of every brain, and return the noise by animal."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    noise: dict[str, float] = {}
    for index, path in enumerate(sorted(source.glob("*_T2w_150um_brain.nii.gz"))):
        animal = path.name.split("_T2w")[0].replace("_UT", "").replace("_TT", "").replace("_", "-")
        for plane, high, affine in thick_slices(nib.load(path)):
            high_std = in_plane_noise(high)
            low_std = high_std * snr_ratio(DEFAULT_SCAN, FAST_SCAN)
            rng = np.random.default_rng((index, len(plane)))
            low = simulate_low_resolution(high, low_std, rng, high_noise_std=high_std)
            # The reference holds nothing outside the brain; noise left there in the fast scan
            # alone would be most of every figure.
            low *= (high > 0).reshape(low.shape[0], 2, low.shape[1], 2, -1).any(axis=(1, 3))
            coarse = affine @ np.array(
                [[2, 0, 0, 0.5], [0, 2, 0, 0.5], [0, 0, 1, 0], [0, 0, 0, 1]], dtype=float
            )
            for kind, stack, frame in (("fast", low, coarse), ("default", high, affine)):
                name = f"{animal}_{plane}_brain_{kind}.nii.gz"
                nib.save(nib.Nifti1Image(stack, frame), target / name)
            noise[animal] = high_std / float(np.median(high[high > 0]))
    return noise


def chain(data: Path, work: Path, max_epochs: int) -> dict[str, Any]:
    """Prepare, check, train and evaluate on the mouse brains."""
    noise = write_pairs(data / "mouse", work / "pairs")
    split = work / "split.json"
    split.write_text(json.dumps(SPLIT))
    dataset = {"dataset_dir": str(work / "dataset")}
    run_bundle(
        BUNDLE,
        ["prepare"],
        {
            "source": str(work / "pairs"),
            "output_dir": str(work / "dataset"),
            "split_file": str(split),
            "overwrite": True,
        },
    )
    run_bundle(BUNDLE, ["qc"], dataset)
    trained = {"output_dir": str(work / "train"), "max_epochs": max_epochs}
    run_bundle(BUNDLE, ["train"], dataset | trained)
    weights = {"own": work / "train" / "models" / "model.pt", "shipped": BUNDLE / "models/model.pt"}
    summaries = {}
    for name, path in weights.items():
        folder = work / f"evaluate_{name}"
        run_bundle(
            BUNDLE, ["evaluate"], dataset | {"ckpt_path": str(path), "output_dir": str(folder)}
        )
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        # Where things lay on one machine is nobody's result.
        del summary["dataset"]["folder"], summary["checkpoint"]["path"]
        summaries[name] = summary
    return {"noise": noise, "summaries": summaries}


def restore_others(data: Path, work: Path) -> dict[str, Any]:
    """Restore the ParaVision study and a clinical stack with the shipped weights."""
    scans = {
        "banana": data / "bruker" / "bru_banana" / "3" / "pdata" / "1" / "2dseq",
        "clinical": next((data / "clinical_2d").glob("*study1_T2W.nii.gz")),
    }
    found = {}
    for name, path in scans.items():
        folder = work / f"restored_{name}"
        run_bundle(
            BUNDLE,
            ["inference"],
            {"input": str(path), "output_dir": str(folder), "overwrite": True},
        )
        restored = nib.load(next(folder.glob("*_restored.nii.gz")))
        found[name] = describe(path, restored)
        draw(path, restored, PICTURES / f"real_{name}.png")
    return found


def read(path: Path) -> Any:
    """Read a scan as the bundle does, with its geometry."""
    from monai.transforms import LoadImage

    from custom.files.reader import InputReader

    return LoadImage(reader=InputReader())(str(path))


def describe(path: Path, restored: Any) -> dict[str, Any]:
    """Say what went in and what came out."""
    image = read(path)
    values = np.asarray(restored.dataobj)
    return {
        "shape": list(image.shape),
        "restored_shape": list(restored.shape),
        "spacing": [round(float(size), 4) for size in image.pixdim[:3]],
        "restored_spacing": [round(float(size), 4) for size in restored.header.get_zooms()[:3]],
        "mean": float(np.asarray(image).mean()),
        "restored_mean": float(values.mean()),
    }


def draw(path: Path, restored: Any, target: Path) -> None:
    """Draw the middle slice before and after, and the same detail of both."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    before = np.asarray(read(path))
    after = np.asarray(restored.dataobj)
    axis = int(np.argmax([a == b for a, b in zip(before.shape, after.shape, strict=True)]))
    low = np.take(before, before.shape[axis] // 2, axis).T[::-1]
    high = np.take(after, after.shape[axis] // 2, axis).T[::-1]
    top = float(np.percentile(low, 99.5))
    row, column = low.shape[0] * 3 // 8, low.shape[1] * 3 // 8
    part = slice(row, row + low.shape[0] // 4), slice(column, column + low.shape[1] // 4)
    fine = tuple(slice(2 * side.start, 2 * side.stop) for side in part)
    panels = {
        "as scanned": low,
        "restored": high,
        "as scanned, detail": low[part],
        "restored, detail": high[fine],
    }
    figure, axes = plt.subplots(1, 4, figsize=(16, 4.4), layout="constrained")
    for frame, (title, image) in zip(axes, panels.items(), strict=True):
        frame.imshow(image, cmap="gray", vmin=0, vmax=top, interpolation="nearest")
        frame.set_title(title)
        frame.set_axis_off()
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=60, pil_kwargs={"optimize": True})
    plt.close(figure)


def main() -> None:
    """Run the chain and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with the open data")
    parser.add_argument("--work", type=Path, required=True, help="folder for what is made")
    parser.add_argument("--max_epochs", type=int, default=3)
    given = parser.parse_args()
    found = chain(given.data.resolve(), given.work.resolve(), given.max_epochs)
    others = restore_others(given.data.resolve(), given.work.resolve())
    page = Path(__file__).with_name("real_data.md").read_text(encoding="utf-8")
    noise = list(found["noise"].values())
    page = page.format(
        noise_low=min(noise),
        noise_high=max(noise),
        animals=len(noise),
        max_epochs=given.max_epochs,
        own=summary_text(found["summaries"]["own"]),
        shipped=summary_text(found["summaries"]["shipped"]),
        **others,
    )
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "real_data.md").write_text(page, encoding="utf-8")
    (RESULTS / "real_data.json").write_text(
        json.dumps({**found["summaries"], **others}, indent=2) + "\n", encoding="utf-8"
    )
    print(RESULTS / "real_data.md")


if __name__ == "__main__":
    main()
