import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from skimage.filters import threshold_otsu

from custom.physics.intensity_statistics import (
    STATISTICS,
    clip_outliers,
    otsu_threshold,
    outlier_limit,
    reference_intensity,
)


def found(volume, statistic):
    return float(reference_intensity(torch.as_tensor(volume)[None], statistic))


def plain(volume, statistic):
    """The statistic of an image without outliers."""
    above = volume[volume > threshold_otsu(volume)]
    return {"mean": volume.mean, "foreground_mean": above.mean}.get(
        statistic, lambda: np.median(above)
    )()


def head(tissue=700.0, air=10.0):
    volume = np.full((24, 24, 24), air)
    volume[6:18, 6:18, 6:18] = tissue
    return volume


def phantom():
    """A ball of three tissues in Rayleigh noise, a third of the volume; and the ball's depth."""
    random = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(32) - 15.5] * 3, indexing="ij"))
    depth = 13.4 - np.linalg.norm(grid, axis=0)
    tissue = np.select([depth < 0, depth < 3, depth < 6], [0.0, 700.0, 900.0], 500.0)
    noise = 30 * random.standard_normal((2, *depth.shape))
    return np.hypot(tissue + noise[0], noise[1]), depth


@pytest.mark.parametrize("statistic", STATISTICS)
def test_without_outliers_it_is_the_plain_statistic_and_the_image_does_not_change(statistic):
    volume = phantom()[0]
    volume[12:14, 12:14, 12:14] = 2.9 * 600
    assert found(volume, statistic) == pytest.approx(plain(volume, statistic), rel=1e-4)
    assert otsu_threshold(volume) == threshold_otsu(volume)
    np.testing.assert_array_equal(clip_outliers(volume), volume)


def test_the_foreground_is_the_tissue_alone():
    volume = head()
    volume[6:18, 6:18, 6:12] = 500
    assert found(volume, "foreground_mean") == pytest.approx(600)


def test_voxels_up_to_five_times_the_median_count():
    volume = head(100.0, 0.0)
    volume[6, 6:18, 6:18] = 499
    volume[17, 6:18, 6:18] = 501
    assert outlier_limit(volume) == 500
    assert found(volume, "foreground_mean") == pytest.approx((10 * 100 + 499) / 11)
    assert found(volume, "mean") == pytest.approx(144 * (10 * 100 + 499) / (24**3 - 144))
    assert clip_outliers(volume).max() == 500


def test_an_object_of_few_voxels_in_an_empty_image_is_no_outlier():
    volume = np.zeros((20, 20, 20))
    volume[4:8, 4:8, 4:8] = 300  # 0.8 % of the volume, less than the clipped part
    assert found(volume, "foreground_mean") == pytest.approx(300)


@pytest.mark.parametrize("hot", [1, 30])
@pytest.mark.parametrize("side", [6, 10])
def test_a_small_body_in_noise_is_no_outlier_but_hot_voxels_are(side, hot):
    air = 10 * np.hypot(*np.random.default_rng(0).standard_normal((2, 40, 40, 40)))
    volume = air.copy()
    volume[10 : 10 + side, 10:20, 10:20] = 700  # 0.9 and 1.6 % of the volume
    assert outlier_limit(volume) == pytest.approx(3500)
    volume.ravel()[:hot] = 70_000
    assert outlier_limit(volume) == pytest.approx(3500)
    assert outlier_limit(air) < 200


def test_an_image_without_air_is_all_tissue():
    tissue = 600 + 100 * np.random.default_rng(0).standard_normal((20, 20, 20))
    tissue[0, :8] = 14_000  # a rim of 2 %
    assert outlier_limit(tissue) == pytest.approx(3000, rel=0.2)


def disturbed():
    """Yield names and copies of the phantom with what scanners add."""
    volume, depth = phantom()
    number = round(0.02 * volume.size)
    inside, outside = (
        np.argsort(np.where(sign * depth > 0, sign * depth, np.inf), axis=None)[:number]
        for sign in (1, -1)
    )
    spread = np.random.default_rng(1).permutation(np.flatnonzero(depth > 0))[:number]
    some = np.random.default_rng(2).integers(0, volume.size, 8)
    changes = {  # places, value, and the change that is allowed
        "hot 100": (some[:1], 70_000, 0.002),
        "hot 10000": (some[:1], 7_000_000, 0.002),
        "many hot": (spread[: round(0.001 * volume.size)], 70_000, 0.005),
        "negative": (some, -7_000, 0.002),
        "very negative": (some, -7_000_000, 0.002),
        # Of brightness that fat can have, they count in a mean.
        "fat outside": (outside, 2_100, 0.2),
        "vessels": (spread, 2_100, 0.2),
        "bright rim": (inside, 14_000, 0.07),  # instead of 6 % of the tissue
    }
    for name, (places, value, allowed) in changes.items():
        copy = volume.copy()
        copy.ravel()[places] = value
        yield pytest.param(copy, allowed, id=name)


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize(("volume", "allowed"), list(disturbed()))
def test_it_is_robust(volume, allowed, statistic):
    calm = phantom()[0]
    assert found(volume, statistic) == pytest.approx(found(calm, statistic), rel=allowed)
    assert 100 < otsu_threshold(volume) < 480  # between noise and tissue
    assert np.abs(clip_outliers(volume)).max() < 6 * 700


@pytest.mark.parametrize("factor", [2, 3, 4.9, 10])
def test_a_rim_of_fat_hardly_moves_the_median_of_the_tissue(factor):
    calm, depth = phantom()
    volume = calm.copy()
    volume.ravel()[np.argsort(np.abs(depth + 1), axis=None)[: round(0.02 * depth.size)]] = (
        factor * 600
    )
    change = {name: abs(found(volume, name) / found(calm, name) - 1) for name in STATISTICS}
    assert change["tissue_median"] < 0.03
    if factor < 5:
        assert change["mean"] > 0.03


@pytest.mark.parametrize("statistic", STATISTICS)
def test_it_is_homogeneous_and_divides_to_one(statistic):
    volume = torch.from_numpy(phantom()[0])[None]
    intensity = reference_intensity(volume, statistic)
    torch.testing.assert_close(reference_intensity(3 * volume, statistic), 3 * intensity)
    one = reference_intensity(volume / intensity, statistic)
    torch.testing.assert_close(one, torch.tensor(1.0))


@pytest.mark.parametrize("statistic", STATISTICS)
def test_voxels_that_are_not_finite_do_not_count(statistic):
    volume = torch.from_numpy(phantom()[0])[None]
    expected = reference_intensity(volume, statistic)
    volume[0, 0, 0, :2] = torch.tensor([torch.nan, torch.inf])
    torch.testing.assert_close(reference_intensity(volume, statistic), expected, rtol=1e-3, atol=0)


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize(("value", "expected"), [(5.0, 5.0), (0.0, 1.0), (-2.0, 1.0)])
def test_an_image_without_contrast(statistic, value, expected):
    if statistic == "tissue_median" and value:
        expected = abs(value)  # no magnitude is below 0
    assert reference_intensity(torch.full((1, 4, 4), value), statistic) == expected


@pytest.mark.parametrize("statistic", STATISTICS)
def test_slices_have_intensities_of_their_own(statistic):
    stack = MetaTensor(torch.rand(1, 9, 8, 4) * torch.tensor([2.0, 0.0, 5.0, 1e4]))
    found = reference_intensity(stack, statistic, slice_axis=True)
    each = torch.stack([reference_intensity(part, statistic) for part in stack.unbind(-1)])
    assert type(found) is torch.Tensor
    assert found.dtype == torch.float32
    assert found[1] == 1
    torch.testing.assert_close(found, each.as_subclass(torch.Tensor))


def test_unknown_statistics_are_refused():
    with pytest.raises(ValueError, match="statistic"):
        reference_intensity(torch.ones(1, 2, 2), "median")
