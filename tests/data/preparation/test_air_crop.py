import numpy as np
import pytest
from heads_in_air import OBLIQUE, head

from custom.data.preparation.cropping import crop_air, fit_int16
from custom.errors import InputError


def test_air_is_cut_off_and_every_voxel_stays_where_it_is():
    values = head()
    part, affine = crop_air(values, OBLIQUE)
    spacing = np.linalg.norm(OBLIQUE[:3, :3], axis=0)
    margin = np.round(8 / spacing)
    # 13 x 12 x 21 bright voxels: the spike is no body.
    expected = np.array([13, 12, 21]) + 2 * margin
    np.testing.assert_array_equal(part.shape, expected - expected % 2)
    start, offset = np.array([20, 18, 22]) - margin, np.array([3, 4, 5])
    np.testing.assert_allclose(affine @ [3, 4, 5, 1], OBLIQUE @ [*(start + offset), 1])
    x, y, z = (start + offset).astype(int)
    assert part[3, 4, 5] == values[x, y, z]
    assert (part > 400).sum() == 13 * 12 * 21


@pytest.mark.parametrize(("dark", "length"), [(400, 14), (200, 10)])
def test_tissue_darker_than_three_tenths_of_the_mean_is_no_body(dark, length):
    values = np.zeros((40, 40, 40), np.float32)
    values[10:20, 10:20, 10:20] = 1000
    values[20:24, 10:20, 10:20] = dark  # the mean of the foreground lies from 829 to 1000
    part, _ = crop_air(values, np.eye(4), margin_mm=0)
    assert part.shape == (length, 10, 10)


def test_a_limit_keeps_the_middle():
    part, affine = crop_air(head(), np.eye(4), largest=10)
    assert part.shape == (10, 10, 10)
    assert part.min() > 400
    middle = affine[:3, 3] + 4.5
    np.testing.assert_allclose(middle, [26, 23.5, 32], atol=1)


def test_values_below_zero_are_none_of_a_magnitude():
    values = head()
    values[25, 25, 25] = -30
    part, _ = crop_air(values, np.eye(4))
    assert part.min() == 0


@pytest.mark.parametrize(
    ("peak", "expected"), [(158917, 32000), (252, 32000), (1999, 32000), (2000, 2000)]
)
def test_the_unit_changes_only_where_rounding_would_hurt(peak, expected):
    values = np.linspace(0, peak, 11).astype(np.float32)
    fitted, factor, cut = fit_int16(values)
    assert factor == pytest.approx(expected / peak)
    assert cut == 0
    assert fitted.max() == pytest.approx(expected)
    np.testing.assert_allclose(fitted / fitted.max(), values / peak, rtol=1e-5)


def test_the_margin_is_in_millimetres_and_ends_at_the_volume():
    spacing = np.diag([2.0, 1.0, 0.5, 1.0])
    part, _ = crop_air(head(), spacing, margin_mm=3)  # voxels: 2 (of 1.5), 3 and 6
    assert part.shape == (16, 18, 32)
    whole, affine = crop_air(head(), spacing, margin_mm=1000)
    assert whole.shape == (50, 46, 60)
    np.testing.assert_array_equal(affine, spacing)


def test_a_volume_without_a_body_is_refused():
    with pytest.raises(InputError, match="nothing bright"):
        crop_air(np.zeros((8, 8, 8), np.float32), np.eye(4))


@pytest.mark.parametrize("hot", [100, 10_000])
def test_one_hot_voxel_changes_neither_the_crop_nor_the_grey_levels(hot):
    calm, affine = crop_air(head(), np.eye(4))
    values = head()
    values[26, 24, 30] = 500 * hot  # within the body
    values[40, 5, 50] = 500 * hot  # and a larger one in air
    values[40:42, 5, 50] = 500 * hot
    part, moved = crop_air(values, np.eye(4))
    assert part.shape == calm.shape
    np.testing.assert_array_equal(moved, affine)
    fitted, factor, cut = fit_int16(part)
    # Levels enough for the tissue; what does not fit is the largest number, still the brightest.
    assert np.median(fitted[part > 400]) == pytest.approx(6400, rel=0.01)
    assert factor == pytest.approx(6400 / np.median(part[part > 400]), rel=0.01)
    assert cut == (part > 40_000).sum() > 0
    assert fitted.max() == 32767
