"""Checks that train, evaluate and restore with a bundle, on its small demonstration set."""

from __future__ import annotations

import csv
import json
import math
import operator
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from custom.bundle.verification.bundle_folder import BundleFolder
from custom.bundle.verification.checks_network import fits_network
from custom.bundle.verification.outcome import CheckFailed
from custom.bundle.verification.workflows import forget_seeds, open_workflow, run, tiny_set
from custom.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["bad_inputs", "deterministic", "evaluate", "infer_oblique", "train"]

_OUTPUT, _SIDECAR = "{}_restored.nii.gz", "{}_restored.json"
# Rotations about x, y and z in degrees; a stretch that makes the voxel's three sides differ but
# leaves a slice as thick as it is, by which a bundle may tell the slice axis.
_ANGLES_DEG = (17.0, -9.0, 31.0)
_STRETCH = (1.25, 0.8, 1.0)
_ORIGIN_MM = (-21.0, 13.0, 40.0)
_GAIN = 64.0  # a power of two: scaling is then exact in floating point


def train(bundle: BundleFolder) -> None:
    """Training steps change every weight that they should and leave usable checkpoints."""
    import torch

    output = bundle.new_folder("train")
    workflow = open_workflow(bundle, "train", output, ckpt_dir=str(output / "models"), max_epochs=2)
    network = workflow.parser.get_parsed_content("network")
    before = {name: value.clone() for name, value in network.named_parameters()}
    workflow.run()
    workflow.finalize()
    steps = workflow.trainer.state.iteration
    if steps < 2:
        raise CheckFailed(f"training ended after {steps} steps, expected at least 2")
    still = [name for name, value in network.named_parameters() if torch.equal(value, before[name])]
    if still:
        raise CheckFailed(f"training left the parameter {still[0]} as it was")
    for name in ("model.pt", "last.pt"):
        if not (output / "models" / name).is_file():
            raise CheckFailed(f"training wrote no {name} into ckpt_dir")
    fits_network(bundle, output / "models" / "model.pt")


def evaluate(bundle: BundleFolder) -> None:
    """Evaluation writes finite numbers for every case, and a summary.

    The PSNR of an image equal to its reference is infinite.
    """
    output = bundle.new_folder("evaluate")
    run(bundle, "evaluate", output)
    for name in ("metrics.csv", "summary.json"):
        if not (output / name).is_file():
            raise CheckFailed(f"evaluation wrote no {name} into output_dir")
    with (output / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    cells = [(name, _number(text)) for row in rows for name, text in row.items()]
    values = [(name, value) for name, value in cells if value is not None]
    equal = [name.startswith("psnr") and value == math.inf for name, value in values]
    finite = [math.isfinite(value) for _, value in values]
    if not any(finite) or not all(map(operator.or_, finite, equal)):
        raise CheckFailed(f"metrics.csv has {len(rows)} rows, of which a number is not finite")
    if not json.loads((output / "summary.json").read_text(encoding="utf-8")):
        raise CheckFailed("summary.json is empty")


def deterministic(bundle: BundleFolder) -> None:
    """The same seed twice gives the same weights and the same voxels."""
    import torch

    from custom.networks.checkpoint_file import read_checkpoint

    stem = tiny_set(bundle)[1].name.removesuffix(".nii.gz")
    states: list[dict[str, Tensor]] = []
    images = []
    for index in (1, 2):
        output = bundle.new_folder(f"deterministic_{index}")
        models = output / "models"
        forget_seeds()
        run(bundle, "train", output, ckpt_dir=str(models), max_epochs=1, seed=7)
        states.append(read_checkpoint(models / "model.pt"))
        forget_seeds()
        run(bundle, "inference", output / "restored", seed=7)
        images.append(_array(_restored(output / "restored", stem)))
    odd = [name for name, value in states[0].items() if not torch.equal(value, states[1][name])]
    if odd:
        raise CheckFailed(f"two trainings with seed 7 gave different weights: {odd[0]}")
    if not np.array_equal(images[0], images[1]):
        raise CheckFailed("two restorations with seed 7 gave different voxels")


def _number(text: str | None) -> float | None:
    """Return a cell as a number, or None for words and empty cells."""
    try:
        return float(text or "")
    except ValueError:
        return None


def infer_oblique(bundle: BundleFolder) -> None:
    """The output fills the input's box, turned as the input is, and keeps its intensity units.

    A second file, the first one times 64, must come out times 64: this holds for any weights.
    """
    _, model = tiny_set(bundle)
    image: Any = nib.load(model)
    values = _array(image)[1:]  # not square
    spacing = np.array(image.header.get_zooms()[:3]) * _STRETCH
    affine = _oblique_affine(spacing)
    source = bundle.new_folder("oblique")
    for name, gain in (("scan", 1.0), ("scan_times_64", _GAIN)):
        _write(source / f"{name}.nii.gz", values * gain, affine, model)
    output = bundle.new_folder("oblique_restored")
    run(bundle, "inference", output, input=str(source))
    restored = _restored(output, "scan")
    _same_box(affine, values.shape, restored, tolerance_mm=1e-3 * float(spacing.min()))
    first, second = _array(restored), _array(_restored(output, "scan_times_64"))
    if not np.isfinite(first).all():
        raise CheckFailed("inference gave values that are not finite")
    if not np.allclose(first * _GAIN, second, rtol=1e-3, atol=1e-3 * float(np.abs(second).max())):
        raise CheckFailed("an input times 64 does not come out times 64: intensity units are lost")
    sidecar = output / _SIDECAR.format("scan")
    if not sidecar.is_file() or not json.loads(sidecar.read_text(encoding="utf-8")):
        raise CheckFailed(f"inference wrote no sidecar {sidecar.name}")


def bad_inputs(bundle: BundleFolder) -> None:
    """Unusable inputs are refused with one line that names them, and leave no output."""
    folder = bundle.new_folder("bad")
    _, model = tiny_set(bundle)
    values = _array(nib.load(model))
    with_nan = values.copy()
    with_nan.flat[values.size // 2] = np.nan
    _write(folder / "nan.nii.gz", with_nan, np.eye(4), model)
    _write(folder / "one_axis_more.nii.gz", np.stack([values, values], -1), np.eye(4), model)
    for name in ("empty.nii.gz", "broken.pt"):
        (folder / name).write_bytes(b"" if name.startswith("empty") else b"no weights")
    _copy_companions(model, folder / "empty.nii.gz")
    for name in ("nan.nii.gz", "one_axis_more.nii.gz", "empty.nii.gz", "missing.nii.gz"):
        _is_refused(bundle, "inference", folder / name, "input")
    _is_refused(bundle, "inference", folder / "broken.pt", "ckpt_path")
    _is_refused(bundle, "evaluate", folder / "missing.pt", "ckpt_path")
    for name in ("train", "evaluate"):
        _is_refused(bundle, name, folder / "missing_dataset", "dataset_dir")


def _is_refused(bundle: BundleFolder, workflow: str, path: Path, config_id: str) -> None:
    """Run a workflow with one bad path and check its message and its output."""
    output = bundle.new_folder("refused")
    ids: dict[str, Any] = {config_id: str(path)}
    if workflow == "train":
        ids["max_epochs"] = 1  # should the training start after all
    case = f"{workflow} with {config_id} {path.name}"
    try:
        run(bundle, workflow, output, **ids)
    except InputError as error:
        message = str(error)
    except CheckFailed:
        raise
    except Exception as error:
        raise CheckFailed(f"{case}: {type(error).__name__}, not an InputError") from error
    else:
        raise CheckFailed(f"{case} is not refused")
    if "\n" in message or path.name not in message:
        raise CheckFailed(f"{case}: the message must be one line naming the path: {message!r}")
    left = [file.name for file in output.rglob("*.nii*")] if output.is_dir() else []
    if left:
        raise CheckFailed(f"{case} left {left[0]}")


def _oblique_affine(spacing_mm: NDArray[Any]) -> NDArray[np.float64]:
    """Return an affine that is turned about all axes."""
    rotation = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(_ANGLES_DEG)):
        plane = [other for other in range(3) if other != axis]
        turn = np.eye(3)
        turn[np.ix_(plane, plane)] = [
            [np.cos(angle), -np.sin(angle)],
            [np.sin(angle), np.cos(angle)],
        ]
        rotation = rotation @ turn
    return np.asarray(nib.affines.from_matvec(rotation @ np.diag(spacing_mm), _ORIGIN_MM))


def _same_box(
    affine: NDArray[Any], shape: tuple[int, ...], image: Any, tolerance_mm: float
) -> None:
    """Raise unless an image fills the box of an input: the same grid, or a finer one."""
    ratio = np.array(shape[:3]) / np.array(image.shape[:3])
    # Voxel i of the output lies at ratio (i + 1/2) - 1/2 of the input's grid.
    expected = affine @ nib.affines.from_matvec(np.diag(ratio), (ratio - 1) / 2)
    error = float(np.abs(image.affine - expected).max())
    if not error < tolerance_mm:
        raise CheckFailed(f"the output's affine is off the input's frame by up to {error:.3g} mm")


def _write(path: Path, values: NDArray[Any], affine: NDArray[Any], model: Path) -> None:
    """Write voxels as a float32 NIfTI file, with copies of what lies beside the model image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not by our own writer, which refuses the values that a check must have.
    nib.save(nib.Nifti1Image(np.asarray(values, dtype=np.float32), affine), path)
    _copy_companions(model, path)


def _copy_companions(model: Path, path: Path) -> None:
    """Copy the files that have an image's name but another suffix, such as a gradient table."""
    stem = model.name.removesuffix(".nii.gz")
    for file in sorted(model.parent.iterdir()):
        end = file.name.removeprefix(stem)
        if file.is_file() and file.name != end and end.startswith(".") and ".nii" not in end:
            shutil.copy2(file, path.with_name(path.name.removesuffix(".nii.gz") + end))


def _restored(output: Path, stem: str) -> Any:
    """Open the output that belongs to an input."""
    path = output / _OUTPUT.format(stem)
    if not path.is_file():
        found = sorted(file.name for file in output.rglob("*.nii*")) if output.is_dir() else []
        raise CheckFailed(f"inference wrote no {path.name}, but {found}")
    return nib.load(path)


def _array(image: Any) -> NDArray[np.float32]:
    """Return an image's voxels."""
    return np.asarray(image.get_fdata(dtype=np.float32))
