"""A dataset is built within its own folder, which may be all that can be written."""

import errno
from pathlib import Path

import numpy as np
import pytest

from custom.data.datasets.dataset_kinds import VOLUMES, volume_pair
from custom.data.preparation.dataset_publishing import check_output_dir, published_dataset
from custom.errors import InputError


def write(target, seed=0, error=None):
    with published_dataset(target, VOLUMES, "n", "d") as writer:
        values = np.random.default_rng(seed).uniform(0, 900, (8, 8, 8))
        writer.add("training", f"s{seed}", volume_pair(values, np.eye(4)), subject="a")
        if error is not None:
            raise error


@pytest.fixture
def mounted(tmp_path, monkeypatch):
    """A folder beside which nothing can be made, and that cannot be renamed or removed."""
    target = tmp_path / "mount"
    target.mkdir()

    def guarded(name):
        real = getattr(Path, name)

        def call(self, *arguments, **options):
            places = [self, *(place for place in arguments if isinstance(place, Path))]
            if any(place.parent == tmp_path for place in places):
                raise OSError(errno.EROFS, "Read-only file system", str(self))
            return real(self, *arguments, **options)

        monkeypatch.setattr(Path, name, call)

    for name in ("mkdir", "rename", "replace", "rmdir", "unlink"):
        guarded(name)
    return target


def test_a_mount_point_is_written_and_written_again(mounted):
    write(mounted)
    assert (mounted / "datalist.json").is_file()
    check_output_dir(mounted, True, frozenset())
    (mounted / "notes.txt").touch()
    write(mounted, seed=1)
    assert sorted(path.name for path in mounted.iterdir()) == [
        *("datalist.json", "images", "labels", "notes.txt")
    ]
    assert [path.name for path in (mounted / "labels").iterdir()] == ["s1.nii.gz"]


def test_a_failure_leaves_a_mount_point_as_it_was(mounted):
    with pytest.raises(KeyboardInterrupt):
        write(mounted, error=KeyboardInterrupt())
    assert not list(mounted.iterdir())


def test_a_folder_that_cannot_be_made_is_one_line(mounted):
    with pytest.raises(InputError, match=r"cannot write .*other: Read-only file system") as error:
        write(mounted.with_name("other"))
    assert "\n" not in str(error.value)
