"""The file that a residual bank lies in: kept, damaged, or never written."""

import errno
import logging
import zipfile

import numcodecs
import pytest
import torch
import zarr
from residual_pairs import pair, small_bank
from zarr.storage import ZipStore

from custom.data.datasets.residual_bank import ResidualBank
from custom.errors import InputError


@pytest.fixture
def pairs():
    return [pair(index=k) for k in range(6)]


def test_a_seed_gives_one_bank(tmp_path, pairs):
    first, second, other = (small_bank(tmp_path, seed=k).build(pairs).residuals for k in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_a_bank_that_was_built_is_the_one_in_the_file(tmp_path, pairs):
    bank = small_bank(tmp_path).build(pairs)
    assert torch.equal(bank.residuals, ResidualBank(bank.path, size=4).residuals)
    assert bank.residuals is bank.residuals  # read once
    rebuilt = bank.build(pairs[1:]).residuals
    assert torch.equal(rebuilt, ResidualBank(bank.path).residuals)


def test_a_training_that_is_continued_keeps_its_bank(tmp_path, pairs):
    before = small_bank(tmp_path).build(pairs).path.read_bytes()
    kept = small_bank(tmp_path, seed=5).build(pairs[:2], keep=True)
    assert kept.path.read_bytes() == before
    assert small_bank(tmp_path, seed=5).build(pairs[:2]).path.read_bytes() != before


def test_a_training_that_is_continued_mends_a_damaged_bank(tmp_path, pairs, caplog):
    bank = small_bank(tmp_path).build(pairs)
    good = bank.residuals
    bank.path.write_bytes(b"half a file")
    assert torch.equal(small_bank(tmp_path).build(pairs, keep=True).residuals, good)
    # Not what else is logged: other tests of the process may have let information through.
    warned = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.levelno for record in warned] == [logging.WARNING]
    bank.path.unlink()
    assert torch.equal(small_bank(tmp_path).build(pairs, keep=True).residuals, good)


def without_entry(path):
    """Leave one residual out of the archive."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            if name != "residuals/c/2/0/0":
                archive.writestr(name, content)


def one_bit_off(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def without_array(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "no array")


def without_residuals(path):
    with ZipStore(path, mode="w") as store:
        zarr.create_array(
            store=store, name="residuals", shape=(0, 8, 8), dtype="float16", attributes={"rms": 1}
        )


def bomb(path):
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["residuals/c/3/0/0"] = numcodecs.Blosc().encode(bytes(2**20))
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (one_bit_off, "damaged"),
        (without_entry, "1 of 10"),
        (without_array, "array"),
        (without_residuals, "holds no residual"),
        (bomb, "unpack to another size"),
        (empty, "zip"),
    ],
)
def test_damaged_files_are_named(tmp_path, pairs, damage, reason):
    bank = small_bank(tmp_path).build(pairs)
    damage(bank.path)
    with pytest.raises(InputError, match=rf"residuals\.zarr\.zip is no .*{reason}.*train again"):
        _ = small_bank(tmp_path).residuals


def test_a_missing_file_says_how_to_do_without(tmp_path):
    with pytest.raises(InputError, match=r"residuals\.zarr\.zip: no residual bank.*noise_scale 0"):
        _ = small_bank(tmp_path).rms


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": None}, r"mouse01_axial_head-thorax slice 4 has no label: .*pairs"),
        ({"image_moments": None}, r"slice 4 has no image_moments: .*ImageMomentsd"),
        ({"label": torch.zeros(1, 9, 9)}, r"slice 4: image \(1, 20, 24\) and label \(1, 9, 9\)"),
        ({"image": torch.full((1, 20, 24), torch.nan)}, r"slice 4: .*NaN"),
        ({"label": torch.full((1, 20, 24), torch.inf)}, r"slice 4: .*infinite"),
        ({"label": None, "scan": None}, r"training pair 4 has no label"),
    ],
)
def test_bad_pairs_are_named_and_leave_nothing(tmp_path, pairs, changes, message):
    pairs[4] = pair(index=4, **changes)
    with pytest.raises(InputError, match=message) as caught:
        small_bank(tmp_path).build(pairs)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_no_pair_at_all(tmp_path):
    with pytest.raises(InputError, match=r"no training pair .*residuals\.zarr\.zip"):
        small_bank(tmp_path).build([])


def test_pairs_without_any_difference(tmp_path):
    image = torch.rand(1, 20, 24)
    with pytest.raises(InputError, match="image minus label is 0 everywhere"):
        small_bank(tmp_path).build([pair(image=image, label=image)])


def test_a_full_disk_leaves_the_old_file(tmp_path, pairs, monkeypatch):
    before = small_bank(tmp_path).build(pairs).path.read_bytes()
    write, left = zipfile.ZipFile.writestr, iter(range(5))

    def full_after_five(self, *args, **kwargs):
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, *args, **kwargs)

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full_after_five)
    with pytest.raises(InputError, match="disk full"):
        small_bank(tmp_path, seed=3).build(pairs)
    assert [path.name for path in tmp_path.iterdir()] == ["residuals.zarr.zip"]
    assert (tmp_path / "residuals.zarr.zip").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 0}, "size of the residual bank .*1 pixel, got 0"),
        ({"max_megabytes": 0.01}, "max_megabytes .* 0.0207 or more .*96 pixels, got 0.01"),
    ],
)
def test_bad_arguments_are_named(tmp_path, arguments, message):
    with pytest.raises(InputError, match=message):
        ResidualBank(tmp_path / "residuals.zarr.zip", **arguments)
