import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from custom.physics.intensity_statistics import (
    STATISTICS,
    check_statistic,
    foreground_mean,
    reference_intensity,
    trimmed_foreground_mean,
)

FOREGROUND = ("foreground_mean", "trimmed_foreground_mean")


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


@pytest.mark.parametrize("statistic", FOREGROUND)
def test_the_foreground_is_the_tissue_alone(statistic):
    volume = head()
    volume[6:18, 6:18, 6:12] = 500
    assert STATISTICS[statistic](volume) == pytest.approx(600)


def test_voxels_up_to_twice_the_median_count():
    volume = head(100.0, 0.0)
    volume[6, 6:18, 6:18] = 199
    volume[17, 6:18, 6:18] = 201
    assert trimmed_foreground_mean(volume) == pytest.approx((10 * 100 + 199) / 11)
    assert foreground_mean(volume) == pytest.approx((10 * 100 + 199 + 201) / 12)


def test_an_object_of_few_voxels_is_the_foreground():
    volume = np.zeros((20, 20, 20))
    volume[4:8, 4:8, 4:8] = 300  # 0.8 % of the volume, less than the clipped part
    assert trimmed_foreground_mean(volume) == pytest.approx(300)


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
    changes = {
        "hot 100": (some[:1], 70_000),
        "hot 10000": (some[:1], 7_000_000),
        "negative": (some, -7_000),
        "very negative": (some, -7_000_000),
        "fat outside": (outside, 2_100),
        "bright rim": (inside, 14_000),
        "vessels": (spread, 2_100),
    }
    for name, (places, value) in changes.items():
        copy = volume.copy()
        copy.ravel()[places] = value
        yield pytest.param(copy, id=name)


@pytest.mark.parametrize("volume", list(disturbed()))
def test_the_trimmed_mean_is_robust_and_the_others_are_not(volume):
    calm = phantom()[0]
    for statistic, compute in STATISTICS.items():
        change = abs(compute(volume) / compute(calm) - 1)
        if statistic == "trimmed_foreground_mean":
            assert change < 0.01
        elif volume.max() > 10_000 * calm.max() / 2:
            assert change > 0.1


@pytest.mark.parametrize("statistic", STATISTICS)
def test_it_is_homogeneous_and_divides_to_one(statistic):
    volume = torch.from_numpy(phantom()[0])[None]
    intensity = reference_intensity(volume, statistic)
    torch.testing.assert_close(reference_intensity(3 * volume, statistic), 3 * intensity)
    one = reference_intensity(volume / intensity, statistic)
    torch.testing.assert_close(one, torch.tensor(1.0))


@pytest.mark.parametrize("statistic", FOREGROUND)
def test_voxels_that_are_not_finite_do_not_count(statistic):
    volume = torch.from_numpy(phantom()[0])[None]
    expected = reference_intensity(volume, statistic)
    volume[0, 0, 0, :2] = torch.tensor([torch.nan, torch.inf])
    torch.testing.assert_close(reference_intensity(volume, statistic), expected, rtol=1e-4, atol=0)


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize(("value", "expected"), [(5.0, 5.0), (0.0, 1.0), (-2.0, 1.0)])
def test_an_image_without_contrast(statistic, value, expected):
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
        check_statistic("median")
