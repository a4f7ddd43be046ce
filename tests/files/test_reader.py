from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from monai.transforms import LoadImage
from paravision_files import write_scan

from custom.files.reader import InputReader, format_of, name_of, read_header
from custom.files.zarr_slices import write_stack

AFFINE = np.diag([0.2, 0.3, 0.6, 1.0])


@pytest.fixture
def stack() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 900, (6, 5, 4)).astype(np.int16)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("scans/mouse1.nii.gz", ("nifti", "mouse1", "scans")),
        ("scans/mouse.1.NII", ("nifti", "mouse.1", "scans")),
        ("lab/study7/5/pdata/1/2dseq", ("bruker", "study7_5_1", "lab")),
        ("scans/mouse1.png", (None, "mouse1", "scans")),
        ("scans/mouse1", (None, "mouse1", "scans")),
    ],
)
def test_format_and_name(path: str, expected: tuple[str | None, str, str]) -> None:
    name, folder = name_of(path)
    assert (format_of(path), name, folder.as_posix()) == expected


def test_zarr_arrays_are_images_and_groups_are_not(tmp_path: Path, stack: np.ndarray) -> None:
    array = tmp_path / "slices.zarr" / "mouse1" / "image"
    write_stack(array, stack, AFFINE)
    assert format_of(array) == "zarr"
    assert format_of(array.parent) is None
    assert name_of(array) == ("mouse1", tmp_path)
    header = read_header(array)
    assert header.shape == (6, 5, 4)
    assert header.voxels == 120
    np.testing.assert_array_equal(header.affine, AFFINE)


def test_names_of_arrays_that_are_no_image(tmp_path: Path, stack: np.ndarray) -> None:
    write_stack(tmp_path / "slices.zarr" / "mouse1" / "label", stack, AFFINE)
    write_stack(tmp_path / "single.zarr", stack, AFFINE)
    assert name_of(tmp_path / "slices.zarr" / "mouse1" / "label") == ("mouse1_label", tmp_path)
    assert name_of(tmp_path / "single.zarr") == ("single", tmp_path)


def test_header_of_nifti_is_read_without_its_data(tmp_path: Path, stack: np.ndarray) -> None:
    path = tmp_path / "a.nii"
    nib.save(nib.Nifti1Image(stack[..., None, None], AFFINE), path)
    path.write_bytes(path.read_bytes()[:360])  # the header and nothing else
    header = read_header(path)
    assert header.shape == (6, 5, 4)
    assert header.dtype == np.int16
    np.testing.assert_allclose(header.affine, AFFINE)


def test_both_formats_load_alike(tmp_path: Path, stack: np.ndarray) -> None:
    write_stack(tmp_path / "a.zarr" / "image", stack, AFFINE)
    nib.save(nib.Nifti1Image(stack, AFFINE), tmp_path / "a.nii.gz")
    load = LoadImage(reader=InputReader(), ensure_channel_first=True)
    for path in (tmp_path / "a.zarr" / "image", tmp_path / "a.nii.gz"):
        image = load(path)
        assert image.shape == (1, 6, 5, 4)
        np.testing.assert_array_equal(image.numpy()[0], stack)
        np.testing.assert_allclose(image.affine, AFFINE, rtol=1e-6)


def test_bruker_is_read_by_its_own_reader(tmp_path: Path, stack: np.ndarray) -> None:
    path = write_scan(tmp_path / "study7", 5, stack)
    header = read_header(path)
    image = LoadImage(reader=InputReader(), ensure_channel_first=True)(str(path))
    np.testing.assert_array_equal(image.numpy()[0], stack)
    assert header.shape == stack.shape
    np.testing.assert_allclose(image.affine, header.affine)
    assert name_of(path) == ("study7_5_1", tmp_path)


def test_slope_and_intercept_are_applied(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.arange(24, dtype=np.uint16).reshape(2, 3, 4), AFFINE)
    image.header.set_slope_inter(0.5, 3.0)
    nib.save(image, tmp_path / "a.nii")
    raw = np.array(nib.load(tmp_path / "a.nii").dataobj.get_unscaled())
    loaded = LoadImage(reader=InputReader())(tmp_path / "a.nii")
    np.testing.assert_allclose(loaded.numpy(), 0.5 * raw + 3.0)


@pytest.mark.parametrize(("unit", "mm"), [("meter", 1e3), ("micron", 1e-3), ("mm", 1), (0, 1)])
def test_the_unit_is_read(tmp_path: Path, stack: np.ndarray, unit: str, mm: int) -> None:
    image = nib.Nifti1Image(stack, AFFINE / [[mm], [mm], [mm], [1]])
    image.header.set_xyzt_units(unit, "sec")
    nib.save(image, tmp_path / "a.nii.gz")
    np.testing.assert_allclose(read_header(tmp_path / "a.nii.gz").affine, AFFINE, rtol=1e-6)
    loaded = LoadImage(reader=InputReader())(tmp_path / "a.nii.gz")
    np.testing.assert_allclose(loaded.affine, AFFINE, rtol=1e-6)
    np.testing.assert_allclose(loaded.meta["original_affine"], AFFINE, rtol=1e-6)


def test_unknown_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="path"):
        read_header(tmp_path / "a.png")
    with pytest.raises(ValueError, match="path"):
        InputReader().read(tmp_path / "a.png")
    assert not InputReader().verify_suffix(["a.nii", "a.png"])
