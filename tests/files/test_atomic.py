import errno
import hashlib
import tempfile
from pathlib import Path

import pytest

from custom.errors import InputError
from custom.files.atomic import (
    atomic_path,
    check_sha256,
    check_writable,
    sha256_of,
    whole_folder,
    write_json,
)


def write_half(target):
    with atomic_path(target) as temporary:
        assert temporary.name.endswith(".nii.gz")
        temporary.write_text("half")
        raise RuntimeError


def raise_inside(target, error):
    with atomic_path(target):
        raise error


def test_an_error_keeps_the_old_file_and_leaves_nothing_behind(tmp_path):
    target = tmp_path / "result.nii.gz"
    target.write_text("old")
    with pytest.raises(RuntimeError):
        write_half(target)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_who_reads_the_old_file_reads_it_to_its_end(tmp_path):
    """The new file takes the name; nothing is written into the old one."""
    target = tmp_path / "result.json"
    target.write_text("old")
    with target.open() as reader:
        with atomic_path(target) as temporary:
            temporary.write_text("new")
        assert reader.read() == "old"
    assert target.read_text() == "new"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_clear_line(tmp_path, code):
    with pytest.raises(InputError, match=r"disk full while writing .*out\.json"):
        raise_inside(tmp_path / "out.json", OSError(code, "No space left on device"))
    assert not list(tmp_path.iterdir())


def test_other_os_errors_pass_through(tmp_path):
    with pytest.raises(PermissionError):
        raise_inside(tmp_path / "out", PermissionError(errno.EACCES, "no"))


def test_json_lands_in_a_new_folder_and_hashes(tmp_path):
    path = write_json(tmp_path / "new" / "a.json", {"b": [1, 2]})
    assert path.read_text() == '{\n  "b": [\n    1,\n    2\n  ]\n}\n'
    assert sha256_of(path) == hashlib.sha256(Path(path).read_bytes()).hexdigest()


def test_a_file_is_the_one_that_its_source_names(tmp_path):
    file = tmp_path / "model.pt"
    file.write_bytes(b"abc")
    # NIST's example of FIPS 180-4 for "abc".
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    check_sha256(file, known)
    check_sha256(file, f" {known.upper()}\n")
    file.write_bytes(b"abd")
    with pytest.raises(InputError, match=rf"model\.pt: its SHA-256 is .*, not {known}"):
        check_sha256(file, known)


@pytest.mark.parametrize("given", ["", "ba78", "z" * 64])
def test_what_is_no_sha256_is_refused(tmp_path, given):
    with pytest.raises(InputError, match="64 hexadecimal digits"):
        check_sha256(tmp_path, given)


def test_a_folder_has_no_sha256(tmp_path):
    with pytest.raises(InputError, match="that of one file"):
        check_sha256(tmp_path, "0" * 64)


def test_the_longest_name_is_written(tmp_path):
    name = "n" * 240 + ".tar.nii.gz"
    with atomic_path(tmp_path / name) as temporary:
        assert temporary.name.endswith(".nii.gz")
        temporary.write_text("whole")
    with whole_folder(tmp_path / ("f" * 255)) as temporary:
        (temporary / "a").touch()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f" * 255, name]


@pytest.mark.parametrize("place", ["", "new", "new/deep"])
def test_a_folder_that_can_be_written_stays_as_it_was(tmp_path, place):
    check_writable(tmp_path / place)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write into .*file/out: "):
        check_writable(tmp_path / "file" / "out")
    closed = PermissionError(errno.EACCES, "Permission denied")
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: raise_inside(tmp_path / "x", closed))
    with pytest.raises(InputError, match=r"cannot write into .*new: Permission denied"):
        check_writable(tmp_path / "new")
