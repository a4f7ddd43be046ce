"""Which windows a residual bank holds."""

import numpy as np
import pytest
import torch
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from residual_pairs import pair, small_bank
from zarr.storage import ZipStore

from custom.data.datasets.residual_bank import ResidualBank, random_windows


def residual_of(item):
    """Both by the image's moments, by hand: the centre cancels."""
    return ((item["image"] - item["label"])[0] / 2.0).double().numpy()


@pytest.fixture
def pairs():
    return [pair(index=k) for k in range(6)]


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


def test_one_hot_voxel_is_not_most_of_the_deviation(tmp_path, pairs):
    calm = attributes_of(small_bank(tmp_path, 50).build(pairs))["std"]
    for item in pairs[:1]:
        item["image"][0, 5, 5] = 1e4
    assert attributes_of(small_bank(tmp_path, 50).build(pairs))["std"] < 3 * calm
