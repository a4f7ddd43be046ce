"""What becomes of real DICOM series: which are read, and what the bundles make of one.

Needs a folder of folders of DICOM files that this repository does not hold; the page was made from
openly licensed ones (neurolabusc/dcm_qa_philips_enh, BSD-2-Clause; icometrix/dicom2nifti and
moloney/dcmstack, MIT; all on github.com). Needs the MONAI Deploy SDK; uses dciodvfy and dcm2niix
where they are installed.

Run: ``.venv-deploy/bin/python -m benchmarks.publish_dicom --data FOLDER --work FOLDER``
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import nibabel as nib
import numpy as np

from benchmarks.dicom_page import STEPS, write_page
from benchmarks.measure import REPOSITORY, save
from custom.deploy.dicom.rules import SeriesRules, select_series
from custom.deploy.dicom.series import read_folder
from custom.deploy.dicom.volume import SeriesVolume, series_volume, write_nifti
from custom.errors import InputError, Refusal

PICTURES = REPOSITORY / "docs" / "images"
BUNDLES = sorted(path.parents[1] for path in REPOSITORY.glob("bundles/*/configs/metadata.json"))
RESTORED = "philips_T1_classic_48slices"


def main() -> None:
    """Read every series, restore one by every bundle, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--restored", default=RESTORED, help="folder that the bundles restore")
    options = parser.parse_args()
    os.environ.setdefault("HOLOSCAN_LOG_LEVEL", "OFF")
    shutil.rmtree(options.work, ignore_errors=True)
    options.work.mkdir(parents=True)
    read = [reading(folder, options.data) for folder in leaves(options.data)]
    runs = [run(bundle, options.data / options.restored, options.work) for bundle in BUNDLES]
    save("dicom", {"read": read, "restored": options.restored, "runs": runs})
    write_page()


def leaves(root: Path) -> Iterator[Path]:
    """Give every folder that holds files."""
    for folder in sorted(path for path in [root, *root.rglob("*")] if path.is_dir()):
        if any(path.is_file() and not path.name.startswith(".") for path in folder.iterdir()):
            yield folder


def reading(folder: Path, root: Path) -> dict[str, Any]:
    """Say what reading a folder gives, as a volume and as a diffusion series."""
    row: dict[str, Any] = {"folder": folder.relative_to(root).as_posix()}
    for kind in ("volume", "diffusion"):
        try:
            volume = series_volume(select_series(read_folder(folder), SeriesRules()), kind)
        except InputError as error:
            reason = error.reason if isinstance(error, Refusal) else "input"
            row[kind] = {"refused": reason, "line": str(error).replace(f"{folder}: ", "")}
        else:
            row[kind] = facts(volume)
    return row


def facts(volume: SeriesVolume) -> dict[str, Any]:
    """Return size and spacing of a volume, and how often each b-value occurs."""
    spacing = np.linalg.norm(volume.affine[:3, :3], axis=0).round(3).tolist()
    row: dict[str, Any] = {"shape": list(volume.array.shape), "spacing_mm": spacing}
    if volume.bvals is not None:
        row["bvals"] = dict(Counter(f"{value:g}" for value in volume.bvals.tolist()))
    return row


def run(bundle: Path, dicom: Path, work: Path) -> dict[str, Any]:
    """Restore a series by the application; if it is refused, say why, and warn instead."""
    row: dict[str, Any] = {"bundle": bundle.name}
    output = work / bundle.name
    for answer in ("refuse", "warn"):
        try:
            pipeline, seconds = application(bundle, dicom, output, answer)
        except InputError as error:
            row[answer] = str(error)
            continue
        row[answer] = {name: len(files) for name, files in pipeline.written.items()}
        volume = series_volume(read_folder(dicom)[0], "volume")
        row["seconds"] = seconds | {"plain": plain(bundle, volume, work)}
        row["checks"] = checks(dicom, output / "restored", work)
        draw(volume, output / "restored", bundle.name)
        break
    return row


def application(
    bundle: Path, dicom: Path, output: Path, answer: str
) -> tuple[Any, dict[str, float]]:
    """Run the application in this process; return its pipeline and the seconds of its steps."""
    from custom.deploy.application import RestorationApplication
    from custom.deploy.settings import Settings

    words = ["-i", str(dicom), "-o", str(output), "-m", str(bundle), "-l", "ERROR"]
    output.mkdir(exist_ok=True)
    made = RestorationApplication(
        [sys.executable, "benchmark", *words], Settings(outside_range=answer)
    )
    seconds: dict[str, float] = {}
    for name in STEPS:
        setattr(made.pipeline, name, timed(getattr(made.pipeline, name), name, seconds))
    begin = time.process_time()
    try:
        made.run()
    except Exception as error:
        from custom.bundle.launch import find_cause

        raise find_cause(error, InputError) or error from error
    seconds["application"] = time.process_time() - begin
    return made.pipeline, seconds


def timed(work: Any, name: str, seconds: dict[str, float]) -> Any:
    """Return a step that notes the processor seconds it takes."""

    def step(*args: Any) -> Any:
        begin = time.process_time()
        result = work(*args)
        seconds[name] = time.process_time() - begin
        return result

    return step


def plain(bundle: Path, volume: SeriesVolume, work: Path) -> float:
    """Return the seconds of the bundle's inference on the same volume as a NIfTI file."""
    from custom.bundle.launch import run_bundle

    source = work / f"{bundle.name}.nii"
    write_nifti(volume, source)
    settings = {"input": str(source), "output_dir": str(work / f"{bundle.name}_plain")}
    begin = time.process_time()
    run_bundle(bundle, ["inference"], settings)
    return time.process_time() - begin


def checks(dicom: Path, written: Path, work: Path) -> dict[str, Any]:
    """Compare with dciodvfy's errors of the source, and with dcm2niix's volume of the result."""
    found: dict[str, Any] = {}
    if shutil.which("dciodvfy"):
        before, after = (errors(next(iter(sorted(f.iterdir())))) for f in (dicom, written))
        found["new_errors"] = sorted(after - before)
    if shutil.which("dcm2niix"):
        folder = work / f"{written.parent.name}_dcm2niix"
        folder.mkdir()
        command = ["dcm2niix", "-b", "n", "-f", "volume", "-o", str(folder), str(written)]
        subprocess.run(command, check=True, capture_output=True)
        theirs: Any = nib.load(folder / "volume.nii")
        ours = series_volume(read_folder(written)[0], "volume")
        found |= compared(theirs, ours)
    return found


def errors(image: Path) -> set[str]:
    """Return the errors that dciodvfy finds in an image."""
    done = subprocess.run(["dciodvfy", str(image)], capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    return {line for line in lines if line.startswith("Error")}


def compared(theirs: Any, ours: SeriesVolume) -> dict[str, float]:
    """Return how far dcm2niix's volume is from ours: positions of corners, and values."""
    there, here = corners(theirs.affine, theirs.shape), corners(ours.affine, ours.array.shape)
    apart = np.linalg.norm(there[:, :, None] - here[:, None, :], axis=0)
    turn = nib.orientations.io_orientation(np.linalg.inv(ours.affine) @ theirs.affine)
    values = nib.orientations.apply_orientation(np.asarray(theirs.dataobj, np.float32), turn)
    return {
        "corner_mm": float(apart.min(axis=0).max()),
        "value": float(np.abs(values - ours.array).max() / np.abs(ours.array).max()),
    }


def corners(affine: Any, shape: tuple[int, ...]) -> Any:
    """Return where the middles of the corner voxels are, ``(3, 8)``, in mm."""
    indices = np.array(np.meshgrid(*[[0, size - 1] for size in shape])).reshape(3, -1)
    return affine[:3, :3] @ indices + affine[:3, 3:]


def draw(source: SeriesVolume, written: Path, name: str) -> None:
    """Draw the middle slice before and after, and a part of it enlarged."""
    from matplotlib import pyplot as plt

    mpl.use("Agg")
    made = series_volume(read_folder(written)[0], "volume")
    middle = source.array.shape[2] // 2
    position = source.affine @ [0, 0, middle, 1]
    place = int(np.rint((np.linalg.inv(made.affine) @ position)[2]))
    before, after = source.array[..., middle].T, made.array[..., place].T
    top = float(np.percentile(before, 99.7))
    figure, axes = plt.subplots(2, 2, figsize=(8, 8), layout="constrained")
    for column, (image, title) in enumerate(((before, "as acquired"), (after, "restored"))):
        rows, columns = image.shape
        part = image[rows * 3 // 8 : rows * 5 // 8, columns * 3 // 8 : columns * 5 // 8]
        for axis, shown in ((axes[0, column], image), (axes[1, column], part)):
            axis.imshow(shown, cmap="gray", vmin=0, vmax=top, interpolation="nearest")
            axis.set_axis_off()
        axes[0, column].set_title(f"{title}, {columns} x {rows}", fontsize=9)
    figure.savefig(PICTURES / f"dicom_{name}.jpg", dpi=100, pil_kwargs={"quality": 85})
    plt.close(figure)


if __name__ == "__main__":
    main()
