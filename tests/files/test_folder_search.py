from __future__ import annotations

import os
from pathlib import Path

import pytest

from custom.errors import InputError
from custom.files.folder_search import other_format, walk_folder


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def files_below(folder: Path) -> list[str]:
    faults: list[InputError] = []
    found = [
        (place / file).relative_to(folder).as_posix()
        for place, _, files in walk_folder(folder, faults.append)
        for file in files
    ]
    assert not faults
    return found


def test_linked_folders_are_entered_once(tmp_path: Path) -> None:
    top, elsewhere = tmp_path / "in", tmp_path / "elsewhere"
    for path in (top / "real" / "a", elsewhere / "b", elsewhere / "deep" / "c", top / ".hid" / "d"):
        touch(path)
    (top / "0_real").symlink_to("real")  # of what is here already
    (top / "linked").symlink_to(elsewhere)
    (top / "linked_again").symlink_to(elsewhere)
    (top / "a_file").symlink_to(elsewhere / "b")
    assert files_below(top) == ["a_file", "real/a", "linked/b", "linked/deep/c"]


def test_loops_end(tmp_path: Path) -> None:
    top = tmp_path / "in"
    for path in (top / "a", tmp_path / "not_asked_for"):
        touch(path)
    (top / "self").symlink_to(top)
    (top / "up").symlink_to(tmp_path)
    (top / "itself").symlink_to("itself")
    assert files_below(top) == ["a", "itself"]  # the last one leads nowhere


def test_a_folder_may_be_left_out(tmp_path: Path) -> None:
    for name in ("in/a/b", "in/c/d", "out/e"):
        touch(tmp_path / name)
    (tmp_path / "in" / "z").symlink_to(tmp_path / "out")
    entered = []
    for place, folders, _ in walk_folder(tmp_path / "in", pytest.fail):
        entered.append(place.name)
        folders[:] = [name for name in folders if name == "c"]
    assert entered == ["in", "c"]


def test_a_folder_that_cannot_be_read_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a/one", "secret/two"):
        touch(tmp_path / name)
    scandir = os.scandir

    def closed(path: str) -> object:
        if str(path).endswith("secret"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    faults: list[InputError] = []
    found = [file for _, _, files in walk_folder(tmp_path, faults.append) for file in files]
    assert found == ["one"]
    assert [str(fault) for fault in faults] == [
        f"{tmp_path / 'secret'}: cannot be searched: Permission denied"
    ]


@pytest.mark.parametrize("name", ["a.img", "a.HDR", "a.mgz", "a.dcm", "a.mif.gz", "a.nii.bz2"])
def test_images_of_other_formats_are_known(tmp_path: Path, name: str) -> None:
    assert "not read here" in str(other_format(tmp_path / name))


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.bval", "a.json", "imgs", "2dseq", "zarr"])
def test_other_files_are_no_images_of_other_formats(tmp_path: Path, name: str) -> None:
    assert other_format(touch(tmp_path / name)) is None


@pytest.mark.parametrize("mark", [".zarray", ".zgroup"])
def test_zarr_of_format_2_is_known(tmp_path: Path, mark: str) -> None:
    touch(tmp_path / "a.zarr" / mark)
    assert "Zarr format 2" in str(other_format(tmp_path / "a.zarr"))
