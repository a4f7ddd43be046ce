import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from mr_series import NAME, PATIENT_ID, classic, enhanced, phantom, write
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
    generate_uid,
)

from custom.deploy.dicom.series import read_folder
from custom.deploy.dicom.volume import series_volume
from custom.errors import InputError, Refusal


def test_series_are_told_apart_in_the_order_of_their_numbers(tmp_path):
    first, second = phantom(description="T1"), phantom(shape=(4, 4, 3), description="T2")
    write(classic(first, SeriesNumber=9), tmp_path / "mixed")
    write(classic(second, SeriesNumber=2), tmp_path / "mixed" / "below")
    found = read_folder(tmp_path)
    assert [(one.number, one.description, one.image_count) for one in found] == [
        (2, "T2", 3),
        (9, "T1", 5),
    ]
    assert {one.uid for one in found} == {first.uid, second.uid}
    assert all(header.SeriesInstanceUID == found[0].uid for header in found[0].headers)
    assert not any("PixelData" in header for header in found[0].headers)


def test_frames_are_counted_as_images(tmp_path):
    write([enhanced(phantom(shape=(4, 4, 6)))], tmp_path)
    assert read_folder(tmp_path)[0].image_count == 6


def test_other_files_are_passed_over(tmp_path):
    write(classic(phantom()), tmp_path)
    (tmp_path / "notes.txt").write_text("no DICOM")
    (tmp_path / ".hidden.dcm").write_text("no DICOM")
    directory = Dataset()
    directory.file_meta = FileMetaDataset()
    directory.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    directory.SOPClassUID, directory.SOPInstanceUID = MediaStorageDirectoryStorage, generate_uid()
    directory.save_as(tmp_path / "DICOMDIR", enforce_file_format=True)
    assert [len(one.files) for one in read_folder(tmp_path)] == [5]


def test_a_file_that_is_called_dicom_and_is_not_is_refused(tmp_path):
    write(classic(phantom()), tmp_path)
    (tmp_path / f"z{NAME}.dcm").write_bytes(b"")
    with pytest.raises(Refusal, match="file 6 of 6 by name") as refused:
        read_folder(tmp_path)
    assert refused.value.reason == "unreadable-file"
    assert NAME not in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"\0" * 200])
def test_an_image_that_was_lost_is_missed_by_its_name(tmp_path, content):
    """As exports of archives name them, without a suffix."""
    folder = write(classic(phantom()), tmp_path / "in")
    for number, file in enumerate(sorted(folder.iterdir())):
        file.rename(folder / f"IM{number:04d}")
    (folder / "README").write_bytes(b"")
    assert len(read_folder(folder)[0].files) == 5
    (folder / "IM0005").write_bytes(content)
    with pytest.raises(Refusal, match="file 6 of 7 by name has a name like the images") as caught:
        read_folder(folder)
    assert caught.value.reason == "unreadable-file"


def test_a_damaged_header_is_refused(tmp_path):
    write(classic(phantom()), tmp_path)
    file = tmp_path / "im0001.dcm"
    content = file.read_bytes()
    at = content.index(b"PLANTEDNAME")
    file.write_bytes(content[: at - 4] + b"\xff\xff" + content[at - 2 : at + 9])
    with pytest.raises(Refusal, match="file 2 of 5 by name") as refused:
        read_folder(tmp_path)
    assert "PLANTED" not in str(refused.value)


@pytest.mark.parametrize("meta", [True, False])
@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_files_without_preamble_are_read(tmp_path, meta, syntax):
    of = phantom()
    plain = series_volume(read_folder(write(classic(of), tmp_path / "plain"))[0], "volume")
    (tmp_path / "bare").mkdir()
    for number, image in enumerate(classic(of)):
        image.file_meta.TransferSyntaxUID = syntax
        image.preamble = None
        if not meta:
            del image.file_meta
        image.save_as(
            tmp_path / "bare" / f"IM{number}", implicit_vr=syntax.is_implicit_VR, little_endian=True
        )
    assert (tmp_path / "bare" / "IM0").read_bytes()[128:132] != b"DICM"
    (series,) = read_folder(tmp_path / "bare")
    volume = series_volume(series, "volume")
    np.testing.assert_array_equal(volume.array, plain.array)
    assert volume.sha256 == plain.sha256


def test_a_deflated_file_is_refused_before_it_is_inflated(tmp_path, monkeypatch):
    image = classic(phantom())[0]
    image.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    image.save_as(tmp_path / "a", enforce_file_format=True)
    monkeypatch.setattr("zlib.decompress", lambda *_: pytest.fail("inflated"))
    with pytest.raises(Refusal, match="file 1 of 1 by name is compressed as a whole") as refused:
        read_folder(tmp_path)
    assert refused.value.reason == "compressed"


@pytest.mark.parametrize("make", [classic, lambda of: [enhanced(of)]])
def test_large_private_values_are_not_read(tmp_path, make):
    images = make(phantom())
    for image in images:
        image.private_block(0x0011, "SOMEBODY", create=True).add_new(0x01, "OB", bytes(2**24))
    write(images, tmp_path)
    tracemalloc.start()
    (series,) = read_folder(tmp_path)
    volume = series_volume(series, "volume")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert volume.array.shape == (7, 6, 5)
    assert peak < 2**23


@pytest.mark.parametrize("content", [b"\x08\0\x05\0" + bytes(4000), b"\x08\0\x05\0CS\xff\xff"])
def test_another_format_that_begins_like_one_is_passed_over(tmp_path, content):
    write(classic(phantom()), tmp_path)
    (tmp_path / "table").write_bytes(content)
    assert len(read_folder(tmp_path)[0].files) == 5


def test_nothing_to_read_is_one_line(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        read_folder(tmp_path / "absent")
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(InputError, match="no DICOM file in 1 files"):
        read_folder(tmp_path)


def test_the_text_form_names_no_patient(tmp_path):
    write(classic(phantom()), tmp_path / PATIENT_ID)
    found = read_folder(tmp_path)[0]
    assert "PLANTED" not in repr(found) + str(found) + found.title


def test_a_missing_pydicom_is_one_line_that_names_the_extra():
    code = "import sys; sys.modules['pydicom'] = None; import custom.deploy.dicom.series"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert "needs pydicom: pip install 'mri-restoration-bundles[deploy]'" in ran.stderr


def test_a_refusal_is_an_input_error_with_a_slug():
    refusal = Refusal("shear", "sheared")
    assert isinstance(refusal, InputError)
    assert (refusal.reason, str(refusal)) == ("shear", "sheared")


def test_linked_folders_and_files_are_read_once(tmp_path):
    """As in a datalad dataset, where every file is a link, and folders may be."""
    top = tmp_path / "in"
    write(classic(phantom()), tmp_path / "elsewhere")
    stored = sorted((tmp_path / "elsewhere").iterdir())
    top.mkdir()
    for name in ("one", "two"):
        (top / name).symlink_to(tmp_path / "elsewhere")
    assert [len(one.files) for one in read_folder(top)] == [5]
    (top / "one").unlink()
    (top / "two").unlink()
    for file in stored:
        (top / file.name).symlink_to(file)
    assert [len(one.files) for one in read_folder(top)] == [5]
    stored[2].unlink()
    with pytest.raises(Refusal, match="file 3 of 5 by name is a link to a file that is not here"):
        read_folder(top)


def test_a_folder_that_cannot_be_read_is_refused_without_its_name(tmp_path, monkeypatch):
    write(classic(phantom()), tmp_path)
    (tmp_path / NAME).mkdir()
    scandir = os.scandir

    def closed(path):
        if str(path).endswith(NAME):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    with pytest.raises(Refusal, match="a folder among the input's cannot be read") as refused:
        read_folder(tmp_path)
    assert NAME not in str(refused.value)
