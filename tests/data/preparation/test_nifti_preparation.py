"""Pairs of NIfTI files become a dataset."""

import json

import nibabel as nib
import numpy as np
import pytest
from mouse_studies import anatomy, prepare

from custom.data.datasets.datalist import load_datalist
from custom.errors import InputError


@pytest.fixture
def split_file(tmp_path):
    path = tmp_path / "split.json"
    path.write_text(json.dumps({"training": ["1"], "validation": ["mouse2"], "test": []}))
    return path


def write_nifti(path, stack, affine):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.asarray(stack, np.float32), affine), path)


LOW = np.diag([0.4, 0.4, 1.0, 1.0])

HIGH = LOW @ np.array([[0.5, 0, 0, -0.25], [0, 0.5, 0, -0.25], [0, 0, 1, 0], [0, 0, 0, 1]])


@pytest.mark.parametrize("layout", ["suffix", "folders"])
def test_nifti_pairs_of_both_layouts(tmp_path, split_file, layout, caplog):
    source = tmp_path / "pairs"
    name = "mouse01_coronal_head-thorax"
    files = {
        "suffix": [f"{name}_fast.nii.gz", f"{name}_default.nii.gz", f"{name}_mask.nii.gz"],
        "folders": [f"low/{name}.nii.gz", f"high/{name}.nii.gz", f"masks/{name}.nii.gz"],
    }[layout]
    label = anatomy(128, 4)
    write_nifti(source / files[0], anatomy(64, 20), LOW)
    write_nifti(source / files[1], label, HIGH)
    write_nifti(source / files[2], label > 500, HIGH)
    write_nifti(source / "other.nii.gz", label, HIGH)
    prepare(tmp_path / "set", source=source, split_file=str(split_file), crop_background=False)
    item = load_datalist(tmp_path / "set")["training"][0]
    assert (item["scan"], item["plane"]) == (name, "coronal")
    np.testing.assert_array_equal(nib.load(item["label"]).get_fdata(), label)  # not interpolated
    np.testing.assert_array_equal(nib.load(item["mask"]).get_fdata(), label > 500)
    assert "pairs/other.nii.gz: its name ends neither" in caplog.text


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda stack: np.where(stack > 900, np.nan, stack), "NaN"),
        (lambda stack: np.stack([stack, stack], -1), "4D"),
        (lambda stack: np.zeros_like(stack), "nothing to restore"),
        (lambda stack: stack[:, :100], "is not twice"),
    ],
)
def test_nifti_files_that_cannot_be_used_are_named(tmp_path, split_file, spoil, reason):
    write_nifti(tmp_path / "pairs/mouse01_axial_a_fast.nii", anatomy(64, 20), LOW)
    write_nifti(tmp_path / "pairs/mouse01_axial_a_default.nii", spoil(anatomy(128, 4) * 1.0), HIGH)
    with pytest.raises(InputError, match="no pair of scans") as error:
        prepare(tmp_path / "set", source=tmp_path / "pairs", split_file=str(split_file))
    assert reason in str(error.value)
    assert not (tmp_path / "set").exists()
    assert not list(tmp_path.glob(".tmp*"))
