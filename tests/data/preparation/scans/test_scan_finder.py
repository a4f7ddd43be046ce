"""Scans are found wherever a folder leads to, and what is passed over is named."""

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from mouse_studies import write_study

from custom.data.preparation.scans.scan_finder import ScanFinder


def write_pair(folder: Path) -> None:
    folder.mkdir(parents=True)
    for kind, length in (("fast", 16), ("default", 32)):
        image = nib.Nifti1Image(np.ones((length, length, 3), np.float32), np.eye(4))
        nib.save(image, folder / f"m7_axial_head_{kind}.nii.gz")


def test_linked_studies_and_files_are_found_once_under_the_names_of_the_links(tmp_path):
    write_study(tmp_path / "archive", "m1")
    write_pair(tmp_path / "archive" / "pairs")
    source = tmp_path / "source"
    source.mkdir()
    (source / "study").symlink_to(tmp_path / "archive" / "2024_m1")
    (source / "nifti").symlink_to(tmp_path / "archive" / "pairs")
    (source / "again").symlink_to(source)
    given = tmp_path / "given"
    given.symlink_to(source)
    scans, left_out = ScanFinder(given, {})()
    assert not left_out
    assert [scan.source for scan in scans] == [
        "given/study/1/pdata/1/2dseq",
        "given/study/2/pdata/1/2dseq",
        "given/nifti/m7_axial_head_default.nii.gz",
        "given/nifti/m7_axial_head_fast.nii.gz",
    ]


def test_what_cannot_be_read_is_left_out_by_name(tmp_path, monkeypatch):
    write_pair(tmp_path / "in")
    for name in ("m8_fast.img", "m8_fast.hdr", "m9.mgz"):
        (tmp_path / "in" / name).touch()
    (tmp_path / "in" / "secret").mkdir()
    scandir = os.scandir

    def closed(path):
        if str(path).endswith("secret"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    scans, left_out = ScanFinder(tmp_path / "in", {})()
    assert len(scans) == 2
    reasons = {one.source: one.reason for one in left_out}
    assert set(reasons) == {"in/m8_fast.img", "in/m8_fast.hdr", "in/m9.mgz", "in"}
    assert "a format that is not read here" in reasons["in/m9.mgz"]
    assert reasons["in"] == f"{tmp_path}/in/secret: cannot be searched: Permission denied"


@pytest.mark.parametrize("names", [["a.img", "a.hdr"], ["b.mgz"]])
def test_a_folder_of_other_formats_alone_says_so(tmp_path, names):
    for name in names:
        (tmp_path / name).touch()
    scans, left_out = ScanFinder(tmp_path, {})()
    assert not scans
    assert len(left_out) == len(names)
