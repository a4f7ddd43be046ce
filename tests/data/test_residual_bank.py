import errno
import logging
import zipfile

import numpy as np
import pytest
import torch
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from zarr.storage import ZipStore

from custom.data import residual_bank
from custom.data.residual_bank import ResidualBank, random_windows
from custom.errors import InputError

MOMENTS = torch.tensor([0.5, 2.0])


def pair(shape=(20, 24), index=0, **changes):
    rng = np.random.default_rng(index)
    item = {
        "image": torch.from_numpy(rng.normal(size=(1, *shape)).astype(np.float32)),
        "label": torch.from_numpy(rng.normal(size=(1, *shape)).astype(np.float32)),
        "image_moments": MOMENTS,
        "scan": "mouse01_axial_head-thorax",
        "slice": index,
    } | changes
    return {key: value for key, value in item.items() if value is not None}


def residual_of(item):
    """Both by the image's moments, by hand: the centre cancels."""
    return ((item["image"] - item["label"])[0] / 2.0).double().numpy()


@pytest.fixture
def pairs():
    return [pair(index=k) for k in range(6)]


def small_bank(folder, windows=10, size=8, **options):
    """A bank whose limit has room for just so many windows."""
    entry = residual_bank._ENTRY_BYTES + 2 * size**2
    limit = (residual_bank._HEAD_BYTES + windows * entry + 1) / 1e6
    return ResidualBank(folder / "residuals.zarr.zip", size, limit, **options)


def attributes_of(bank):
    with ZipStore(bank.path, mode="r") as store:
        return zarr.open_array(store=store, path="residuals", mode="r").attrs.asdict()


def restored_windows(bank):
    """Undo the normalisation."""
    record = attributes_of(bank)
    return bank.residuals.double().numpy() * record["std"] + record["mean"]


def test_zero_mean_and_unit_variance_over_the_bank(tmp_path, pairs):
    # As printed, divided by the variance, the deviation would be 1 / 0.71.
    residuals = small_bank(tmp_path, 50).build(pairs).residuals.double()
    assert residuals.shape == (50, 8, 8)
    rounding = 2.0**-11 * residuals.abs().max()  # float16, at most half a unit
    assert abs(residuals.mean()) < rounding
    assert abs(residuals.std(correction=0) - 1) < rounding


def test_entries_are_windows_of_the_residuals(tmp_path, pairs):
    bank = small_bank(tmp_path, 30).build(pairs)
    windows = np.concatenate(
        [sliding_window_view(residual_of(item), (8, 8)).reshape(-1, 64) for item in pairs]
    )
    for restored in restored_windows(bank).reshape(-1, 64):
        assert np.abs(windows - restored).max(1).min() < 2e-3


def test_the_record_says_what_was_seen(tmp_path, pairs):
    bank = small_bank(tmp_path).build(pairs)
    squares = [residual_of(item) ** 2 for item in pairs]
    assert bank.rms == pytest.approx(np.sqrt(np.mean(squares)), rel=1e-6)
    assert attributes_of(bank)["num_slices"] == 6


def test_labels_may_have_moments_of_their_own(tmp_path):
    item = pair(label_moments=torch.tensor([-3.0, 0.25]))
    expected = (item["image"] - 0.5) / 2.0 - (item["label"] + 3.0) / 0.25
    bank = small_bank(tmp_path, 4).build([item])
    assert bank.rms == pytest.approx(expected.double().square().mean().sqrt().item(), rel=1e-6)


class Watched(list):
    """A data set that knows what was read."""

    def __getitem__(self, index):
        self.read = [*getattr(self, "read", []), index]
        return super().__getitem__(index)


@pytest.mark.parametrize(("windows", "slices"), [(10, 6), (6, 6), (3, 6), (1, 6), (4, 5), (31, 7)])
def test_windows_are_spread_evenly_and_no_slice_is_read_in_vain(tmp_path, windows, slices):
    # The residual tells the slices apart: it is the number of the slice.
    zeros = torch.zeros(1, 20, 24)
    items = [pair(image=zeros + 2 * k, label=zeros, index=k) for k in range(slices)]
    items[0]["image"][0, 0, 0] += 1e-3  # one slice alone must not be constant
    watched = Watched(items)
    bank = small_bank(tmp_path, windows, size=20)
    counts = bank._windows_per_slice(slices)
    assert counts.sum() == windows
    assert counts.max() - counts.min() <= 1
    chosen = np.flatnonzero(counts)
    if windows < slices:
        gaps = np.diff([chosen[-1] - slices, *chosen])  # around the end
        assert gaps.max() - gaps.min() <= 1
    if windows > 1:
        values = restored_windows(bank.build(watched)).mean((1, 2))
        assert watched.read == chosen.tolist()
        # A slice has 5 places for a window of 20 pixels.
        expected = np.repeat(chosen, np.minimum(counts[chosen], 5))
        np.testing.assert_allclose(values, expected, atol=0.02)


@pytest.mark.parametrize(("size", "limit"), [(96, 1.0), (16, 0.1), (4, 0.02)])
def test_the_file_keeps_to_its_limit_and_makes_use_of_it(tmp_path, size, limit):
    items = [pair((120, 130), k) for k in range(3)]
    bank = ResidualBank(tmp_path / "residuals.zarr.zip", size, limit).build(items)
    assert bank.path.stat().st_size <= limit * 1e6
    assert len(bank.residuals) == bank.capacity
    assert size < 96 or bank.path.stat().st_size > 0.85 * limit * 1e6


def test_small_slices_are_continued_by_their_mirror_image(tmp_path):
    items = [pair((3, 10), k) for k in range(2)]
    bank = small_bank(tmp_path, 8, size=8).build(items)
    restored = restored_windows(bank)
    # Three columns to choose from, none twice: six windows and not eight.
    assert len(restored) == 6
    for k, item in enumerate(items):
        whole = residual_of(item)
        mirrored = np.concatenate([whole, whole[::-1], whole[:2]])
        for column in range(3):
            distances = restored[3 * k : 3 * k + 3] - mirrored[:, column : column + 8]
            assert np.abs(distances).max((1, 2)).min() < 2e-3


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 9), st.integers(1, 40))
def test_random_windows_are_of_one_size_and_none_comes_twice(height, width, size, count):
    image = np.arange(height * width, dtype=np.float32).reshape(height, width)
    windows = random_windows(image, size, count, np.random.default_rng(0))
    places = max(1, height - size + 1) * max(1, width - size + 1)
    assert len(windows) == min(count, places)
    assert {w.shape for w in windows} == {(size, size)}
    assert len({w.tobytes() for w in windows}) == len(windows)


def test_places_are_uniform():
    image = np.arange(5.0, dtype=np.float32)[:, None]
    rng = np.random.default_rng(0)
    first = [random_windows(image, 1, 1, rng)[0].item() for _ in range(5000)]
    share = np.bincount(np.array(first, dtype=int), minlength=5) / 5000
    assert np.abs(share - 0.2).max() < 5 * np.sqrt(0.2 * 0.8 / 5000)


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


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (one_bit_off, "damaged"),
        (without_entry, "1 of 10"),
        (without_array, "array"),
        (without_residuals, "holds no residual"),
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
