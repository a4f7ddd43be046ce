"""What a killed run left under a temporary name goes at the next start, and nothing else does."""

import os
import subprocess
import sys
import time

import pytest

from custom.data.preparation.dataset_publishing import check_output_dir
from custom.files import temporary
from custom.files.atomic import atomic_path, whole_folder, write_json
from custom.files.csv_table import write_table
from custom.files.temporary import remove_own, temporary_folder, temporary_path

KILLED = """
import os, sys
from pathlib import Path
from custom.files.temporary import temporary_path
temporary_path(Path(sys.argv[1]) / "image.nii.gz").write_text("half")
temporary_path(Path(sys.argv[1]) / "set").mkdir()
os.kill(os.getpid(), 9)
"""


@pytest.fixture
def left(tmp_path):
    """A folder in which a killed process left a file and a folder."""
    folder = tmp_path / "out"
    folder.mkdir()
    subprocess.run([sys.executable, "-c", KILLED, folder], check=False, timeout=60)
    assert len(list(folder.iterdir())) == 2
    return folder


def start_folder(folder):
    with whole_folder(folder / "series") as place:
        (place / "1.dcm").touch()


def start_file(folder):
    with atomic_path(folder / "a.png") as place:
        place.touch()


def unpack_there(folder):
    with temporary_folder("unpacked", folder):
        pass


@pytest.mark.parametrize(
    "start",
    [
        start_file,
        start_folder,
        lambda folder: write_json(folder / "a.json", {}),
        lambda folder: write_table(folder / "a.csv", ["a"], []),
        lambda folder: check_output_dir(folder, False, frozenset()),  # prepare into it
        unpack_there,
    ],
)
def test_the_next_start_removes_what_a_killed_run_left(left, start):
    start(left)
    assert not list(left.glob(".tmp-*"))


def test_what_others_are_writing_or_own_stays(tmp_path, monkeypatch):
    mine = temporary_path(tmp_path / "a.nii.gz")
    kept = [mine, *(tmp_path / name for name in (".tmp-mine", "notes.txt", ".tmp-0f0f0f0f-b.json"))]
    monkeypatch.setattr(temporary, "_machine", lambda: "0000")
    kept.append(temporary_path(tmp_path / "of_another_machine.nii.gz"))
    monkeypatch.undo()
    for path in kept:
        path.touch()
    temporary.sweep.cache_clear()
    with atomic_path(tmp_path / "new.txt") as place:
        place.touch()
    assert {path.name for path in tmp_path.iterdir()} == {"new.txt", *(path.name for path in kept)}
    for path in kept:  # two days ago
        os.utime(path, (time.time() - 2e5,) * 2)
    temporary.sweep.cache_clear()
    with atomic_path(tmp_path / "new.txt") as place:
        place.touch()
    left = {path.name for path in tmp_path.iterdir()}
    # Another program's names may look alike.
    assert left == {"new.txt", ".tmp-mine", ".tmp-0f0f0f0f-b.json", "notes.txt", mine.name}
    remove_own(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == left - {mine.name}


@pytest.mark.parametrize(("seconds", "stays"), [(2, True), (3600, True), (2e5, False)])
def test_a_later_process_of_the_same_number_keeps_nothing_alive(
    tmp_path, monkeypatch, seconds, stays
):
    """Its file server's clock may be behind, or this machine's was set since."""
    path = temporary_path(tmp_path / "a")
    path.touch()
    monkeypatch.setattr(temporary.psutil.Process, "create_time", lambda _: time.time() + seconds)
    temporary.sweep.cache_clear()
    temporary.sweep(tmp_path)
    assert path.exists() == stays


def test_a_long_name_has_a_temporary_one_that_keeps_its_suffixes(tmp_path):
    target = tmp_path / f"{'n' * 240}.nii.gz"
    with atomic_path(target) as place:
        assert place.name.endswith("nnn.nii.gz")
        place.touch()
    assert target.is_file()
