"""Inputs as they lie in folders, through the command line: links, masks, broken files."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from command_line import run
from diffusion_series import make_series, save_series
from inference_runs import blob, save

from custom.cli import main
from custom.data.inputs.each_input import run_each

BUNDLES = ("micro_mri_denoise", "dwi_vae", "gan3d_sr_denoise")
SERIES = make_series((14, 12, 11), sigma=0.05)


def save_scan(bundle: str, path: Path, seed: int = 0) -> Path:
    """Write an image that a bundle restores, with what belongs beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if bundle == "dwi_vae":
        return save_series(path, SERIES.noisy * (1 + seed))
    return save(path, blob((20, 18, 16)) * (1 + seed), np.diag([0.5, 0.5, 0.5, 1.0]))


def restore(
    capsys: pytest.CaptureFixture[str], bundle: str, source: Any, output: Path, *more: str
) -> tuple[int, str]:
    """Run the verb; return its exit code and what it says of errors."""
    words = ["--input", str(source), "--output", str(output), "--device", "cpu", *more]
    code = run("restore", bundle, *words)
    return code, capsys.readouterr().err


def restored(output: Path) -> list[str]:
    """Return the names of the images that were restored, each with a sidecar."""
    names = sorted(path.name.removesuffix("_restored.json") for path in output.glob("*.json"))
    assert all((output / f"{name}_restored.nii.gz").is_file() for name in names)
    return names


@pytest.mark.parametrize("bundle", BUNDLES)
def test_a_link_is_restored_under_its_own_name_with_its_neighbours(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], bundle: str
) -> None:
    """In a datalad dataset every file is a link into one store; folders may be links, too."""
    stored = save_scan(bundle, tmp_path / "annex" / "scan.nii.gz")
    data = tmp_path / "data"
    (data / "sub-1").mkdir(parents=True)
    for number, file in enumerate(sorted(stored.parent.iterdir())):
        key = file.rename(file.with_name(f"SHA256E-{number}"))
        end = file.name.removeprefix("scan")
        (data / "sub-1" / f"sub-1_dwi{end}").symlink_to(key)
    (tmp_path / "linked").symlink_to(data)
    for given, output in (
        (data / "sub-1" / "sub-1_dwi.nii.gz", tmp_path / "one"),
        (tmp_path / "linked" / "sub-1" / ".." / "sub-1", tmp_path / "two"),
    ):
        code, errors = restore(capsys, bundle, given, output)
        assert code == 0, errors
        assert restored(output) == ["sub-1_dwi"]


@pytest.mark.parametrize("bundle", BUNDLES)
def test_a_mask_in_a_folder_is_passed_over_and_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], bundle: str
) -> None:
    path = save_scan(bundle, tmp_path / "in" / "scan.nii.gz")
    image: Any = nib.load(path)
    inside = np.asarray(image.dataobj).reshape(*image.shape[:3], -1)[..., 0] > 100
    for name, values in (("brain_mask", inside), ("atlas", 5 * inside)):
        nib.save(
            nib.Nifti1Image(values.astype(np.uint8), image.affine), path.with_name(f"{name}.nii.gz")
        )
    code, errors = restore(capsys, bundle, path.parent, tmp_path / "out")
    assert code == 0, errors
    assert restored(tmp_path / "out") == ["scan"]
    code, errors = restore(capsys, bundle, path.with_name("atlas.nii.gz"), tmp_path / "out")
    assert code == 1
    assert "atlas.nii.gz" in errors


def test_tables_may_begin_with_a_byte_order_mark(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save_scan("dwi_vae", tmp_path / "scan.nii.gz")
    for end in ("bval", "bvec"):
        table = path.with_name(f"scan.{end}")
        table.write_text(table.read_text(), encoding="utf-8-sig")
    code, errors = restore(capsys, "dwi_vae", path, tmp_path / "out")
    assert code == 0, errors


@pytest.mark.parametrize("bundle", BUNDLES)
def test_a_bad_form_beside_a_good_one_is_no_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], bundle: str
) -> None:
    """A quaternion with w^2 = -6e-7, as some tools round it, one of NaN, and an empty sform."""
    bad: dict[str, dict[str, float]] = {
        "rounded": {"quatern_d": np.sqrt(1 + 6e-7), "quatern_b": 0, "quatern_c": 0},
        "nan": {"quatern_b": np.nan},
        "empty": {"srow_x": 0, "srow_y": 0, "srow_z": 0},
    }
    affine = np.diag([-0.5, -0.5, 0.5, 1.0])
    for seed, (name, fields) in enumerate(bad.items()):
        path = save_scan(bundle, tmp_path / "in" / f"{name}.nii.gz", seed)
        image = nib.Nifti1Image(np.asarray(nib.load(path).dataobj), affine)
        image.set_qform(affine, 1)
        image.set_sform(affine, 1)
        content = bytearray(image.to_bytes())
        header = nib.Nifti1Header(bytes(content[:348]))
        for field, value in fields.items():
            header[field] = value
        content[:348] = header.binaryblock
        path.write_bytes(gzip.compress(bytes(content)))
    code, errors = restore(capsys, bundle, tmp_path / "in", tmp_path / "out")
    assert code == 0, errors
    assert restored(tmp_path / "out") == sorted(bad)
    affines = [nib.load(file).affine for file in (tmp_path / "out").glob("*_restored.nii.gz")]
    assert np.ptp(affines, axis=0).max() < 1e-5


@pytest.mark.parametrize("bundle", BUNDLES)
def test_an_image_that_fails_does_not_stop_the_others(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    bundle: str,
) -> None:
    """Damaged after it was checked, a result that cannot be written, a name that is too long."""
    folder, output = tmp_path / "in", tmp_path / "out"
    longest, too_long = "n" * (255 - len("_uncertainty.nii.gz")), "t" * 245
    names = ("a", "b_damaged", "c", "d_unwritable", longest, too_long, "z")
    for seed, name in enumerate(names):
        save_scan(bundle, folder / f"{name}.nii.gz", seed)
    (output / "d_unwritable_restored.nii.gz").mkdir(parents=True)

    def damage_and_run(*arguments: Any) -> None:
        path = folder / "b_damaged.nii.gz"
        path.write_bytes(path.read_bytes()[:400])
        run_each(*arguments)

    monkeypatch.setattr("custom.data.inputs.input_selection.run_each", damage_and_run)
    code, errors = restore(capsys, bundle, folder, output, "--overwrite")
    assert code == 1
    assert restored(output) == ["a", "c", longest, "z"]
    lines = [line for line in errors.splitlines() if line.startswith("mri-bundles: ")]
    for name, reason in (
        ("b_damaged", "cannot be read"),
        ("d_unwritable", "Is a directory"),
        (too_long, "File name too long"),
    ):
        assert any(name in line and reason in line for line in lines), lines
    assert not list(output.glob(".tmp-*"))


@pytest.mark.parametrize("verb", ["restore", "prepare", "package"])
def test_an_output_that_cannot_be_written_is_found_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    path = save_scan("gan3d_sr_denoise", tmp_path / "in" / "a.nii.gz")
    file = tmp_path / "file"
    file.touch()
    for work in (
        "custom.data.inputs.image_checks.check_image",
        "custom.data.preparation.volume_preparation.find_images",
        "custom.deploy.packaging.package.verify_bundle",
    ):
        monkeypatch.setattr(work, pytest.fail)
    given = {"restore": ["--input", str(path)], "prepare": ["--source", str(path.parent)]}
    places = [file / "out"] + ([Path("/proc/out")] if Path("/proc/self").exists() else [])
    for place in places:
        output = place / "x.zip" if verb == "package" else place
        words = [verb, "gan3d_sr_denoise", *given.get(verb, []), "--output", str(output)]
        with pytest.raises(SystemExit) as end:
            main(words)
        assert end.value.code == 1
        assert f"cannot write into {place}: " in capsys.readouterr().err
