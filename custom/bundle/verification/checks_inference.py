"""Checks of a bundle's inference: geometry and units of the output, and refused inputs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from custom.bundle.verification.bundle_folder import BundleFolder
from custom.bundle.verification.outcome import CheckFailed
from custom.bundle.verification.workflows import forget_seeds, run, tiny_set
from custom.errors import InputError
from custom.files.nifti_volume import write_volume

__all__ = ["bad_inputs", "infer_oblique", "restores_twice_the_same"]

_OUTPUT, _SIDECAR = "{}_restored.nii.gz", "{}_restored.json"
# Rotations about x, y and z in degrees; a stretch that makes the voxel's three sides differ but
# leaves a slice as thick as it is, by which a bundle may tell the slice axis.
_ANGLES_DEG = (17.0, -9.0, 31.0)
_STRETCH = (1.25, 0.8, 1.0)
_ORIGIN_MM = (-21.0, 13.0, 40.0)
_GAIN = 64.0  # a power of two: scaling is then exact in floating point


def infer_oblique(bundle: BundleFolder) -> None:
    """The output fills the input's box, turned as the input is, and keeps its intensity units.

    A second file, the first one times 64, must come out times 64: this holds for any weights.
    """
    model = tiny_set(bundle).image
    image = _load(model)
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


def restores_twice_the_same(bundle: BundleFolder) -> None:
    """The same file and seed twice give the same voxels."""
    outputs = [bundle.new_folder(f"restored_{index}") for index in (1, 2)]
    for output in outputs:
        forget_seeds()
        run(bundle, "inference", output, seed=7)
    stem = tiny_set(bundle).image.name.removesuffix(".nii.gz")
    first, second = (_array(_restored(output, stem)) for output in outputs)
    if not np.array_equal(first, second):
        raise CheckFailed("two restorations with seed 7 gave different voxels")


def bad_inputs(bundle: BundleFolder) -> None:
    """Unusable inputs are refused with one line that names them, and leave no output."""
    folder = bundle.new_folder("bad")
    model = tiny_set(bundle).image
    values = _array(_load(model))
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
    write_volume(path, np.asarray(values, dtype=np.float32), affine)
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
    return _load(path)


def _load(path: Path) -> Any:
    """Open a NIfTI file."""
    return nib.load(path)


def _array(image: Any) -> NDArray[np.float32]:
    """Return an image's voxels."""
    return np.asarray(image.get_fdata(dtype=np.float32))
