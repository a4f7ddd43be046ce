from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diffusion_series import (
    TABLES,
    make_series,
    save_image,
    save_series,
    study_protocol,
    study_table,
)

from custom.data.inputs.dwi_checks import DwiInputChecks
from custom.errors import InputError
from custom.networks.stored_protocol import StoredProtocol
from custom.physics.diffusion.gradient_table import GradientTable

SERIES = make_series()
COMMAND = "train by --bval {bval} --bvec {bvec}"


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return save_series(tmp_path / "dwi.nii.gz", SERIES.noisy)


def refusal(path: Path, **settings: Any) -> str:
    """Return the line that refuses a series; it must name the file and be one line."""
    with pytest.raises(InputError) as raised:
        DwiInputChecks(**({"protocol": study_protocol()} | settings))(path)
    line = str(raised.value)
    assert "\n" not in line
    assert line.startswith(f"{path}: ")
    return line.removeprefix(f"{path}: ")


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.float32, np.float64])
def test_series_of_every_type_pass(tmp_path: Path, dtype: Any) -> None:
    path = save_series(tmp_path / "dwi.nii.gz", SERIES.noisy.astype(dtype))
    DwiInputChecks(study_protocol())(path)
    plain = save_image(tmp_path / "dwi.nii", SERIES.noisy.astype(dtype))
    DwiInputChecks(study_protocol(), mask="all", s0=500.0, sigma=0.1)(plain)


def test_what_is_no_series_is_refused(tmp_path: Path) -> None:
    for axes, array in {3: SERIES.noisy[..., 0], 5: np.stack([SERIES.noisy] * 2, -1)}.items():
        path = save_series(tmp_path / f"{axes}.nii.gz", array)
        assert refusal(path).startswith(f"{axes}D with shape {array.shape}: a diffusion series is")
    (tmp_path / "a.png").write_bytes(b"png")
    assert "not a NIfTI file" in refusal(tmp_path / "a.png")
    assert "no such file" in refusal(tmp_path / "none.nii.gz")
    save_series(tmp_path / "empty.nii.gz", SERIES.noisy).write_bytes(b"")
    assert "cannot be read" in refusal(tmp_path / "empty.nii.gz")


@pytest.mark.parametrize("end", ["bval", "bvec"])
def test_missing_tables_are_named(scan: Path, end: str) -> None:
    file = scan.with_name(f"dwi.{end}")
    file.unlink()
    said = refusal(scan)
    assert said.startswith(f"{file}: missing")
    assert said.endswith("named by --bval FILE and --bvec FILE")


def test_a_table_of_another_scan_is_refused(tmp_path: Path) -> None:
    path = save_series(tmp_path / "dwi.nii.gz", SERIES.noisy[..., :31])
    assert "has 31 volumes, but" in refusal(path)
    assert "lists 32 b-values" in refusal(path)


def test_another_protocol_is_refused_with_what_trains_its_model(tmp_path: Path) -> None:
    table = study_table()
    other = GradientTable(np.where(table.bvals > 500, 2000.0, table.bvals), table.bvecs)
    path = save_series(tmp_path / "dwi.nii.gz", SERIES.noisy, other)
    line = refusal(path, train_command=COMMAND)
    assert line.startswith("30 of 32 volumes are like none that the model was trained for")
    assert "b = 2000 s/mm², the nearest of the model's 1000" in line
    files = (tmp_path / "dwi.bval", tmp_path / "dwi.bvec")
    assert line.endswith(f": train by --bval {files[0]} --bvec {files[1]}")
    fewer = save_series(tmp_path / "b.nii.gz", SERIES.noisy[..., :20], table.select(slice(20)))
    assert refusal(fewer).startswith("20 volumes, but the model was trained for 32")


def test_named_tables_are_used(scan: Path, tmp_path: Path) -> None:
    for end in ("bval", "bvec"):
        scan.with_name(f"dwi.{end}").rename(tmp_path / f"other.{end}")
    files = {end: str(tmp_path / f"other.{end}") for end in ("bval", "bvec")}
    DwiInputChecks(study_protocol(), **files)(scan)
    assert "dwi.bvec: missing" in refusal(scan, bval=files["bval"])


def test_a_series_without_b0_needs_its_s0(tmp_path: Path) -> None:
    table = study_table().select(slice(1, 31))
    path = save_series(tmp_path / "dwi.nii.gz", SERIES.noisy[..., 1:31], table)
    protocol = StoredProtocol(table.b_rows, "known")
    assert "give it by --s0" in refusal(path, protocol=protocol)
    DwiInputChecks(protocol, s0=500.0)(path)


def test_values_that_are_no_magnitudes_are_refused(tmp_path: Path) -> None:
    array = SERIES.noisy.copy()
    array[0, 0, 0, :3] = np.nan
    assert refusal(save_series(tmp_path / "n.nii.gz", array)).startswith(
        "3 of 42240 voxels are NaN"
    )
    array[0, 0, 0, :3] = np.inf
    assert "3 of 42240 voxels are NaN or inf" in refusal(save_series(tmp_path / "i.nii.gz", array))
    flat = np.full_like(array, 7)
    assert "all voxels are 7" in refusal(save_series(tmp_path / "c.nii.gz", flat))
    real = SERIES.noisy - 100
    assert "not an MR magnitude" in refusal(save_series(tmp_path / "r.nii.gz", real))


def test_memory_is_planned_before_anything_is_loaded(
    scan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path) -> None:
        raise MemoryError

    monkeypatch.setattr("custom.files.image_faults.load_image", fail)
    needed = 50 * SERIES.noisy.size
    line = refusal(scan, memory_per_value=50.0, memory=lambda: needed - 1)
    assert line.startswith("too large: it needs about 0.0 GB")
    line = refusal(scan, memory_per_value=50.0, memory=lambda: needed)
    assert line.startswith("too large for the free memory")  # so it was loaded


@pytest.mark.parametrize("name", ["mask", "s0", "sigma", "relative_sigma"])
def test_files_of_the_user_are_checked(scan: Path, tmp_path: Path, name: str) -> None:
    good = save_image(tmp_path / "good.nii.gz", SERIES.s0)
    DwiInputChecks(study_protocol(), **{name: str(good)})(scan)
    small = save_image(tmp_path / "small.nii.gz", SERIES.s0[1:])
    negative = save_image(tmp_path / "negative.nii.gz", SERIES.s0 - 700)
    for file, says in {
        small: "is 11 x 11 x 10 voxels, the scan 12 x 11 x 10",
        negative: "has negative values",
        tmp_path / "none.nii.gz": "no such NIfTI file",
    }.items():
        assert refusal(scan, **{name: str(file)}).startswith(f"{name} {file}: {says}")


@pytest.mark.parametrize(("name", "number"), [("s0", 0), ("s0", -1.0), ("sigma", -0.1)])
def test_numbers_of_the_user_are_checked(scan: Path, name: str, number: float) -> None:
    assert refusal(scan, **{name: number}).startswith(f"{name} must be")


def test_files_belong_to_one_scan(scan: Path, tmp_path: Path) -> None:
    other = save_series(tmp_path / "other.nii.gz", SERIES.noisy)
    mask = save_image(tmp_path / "mask.nii.gz", SERIES.s0)
    check = DwiInputChecks(study_protocol(), mask=str(mask), bval=str(TABLES[0]))
    check(scan)
    with pytest.raises(InputError, match=r"other\.nii\.gz: bval, mask are files of one scan, dwi"):
        check(other)
    plain = DwiInputChecks(study_protocol(), mask="all", s0=500.0)
    plain(scan)
    plain(other)


@pytest.mark.parametrize("name", ["b_tolerance", "direction_tolerance_deg"])
def test_tolerances_are_positive(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        DwiInputChecks(study_protocol(), **{name: 0.0})
