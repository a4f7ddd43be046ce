import numpy as np
import pytest

from custom.data.preparation.pair_loading import sample_shifted, sample_shifted_regions


@pytest.mark.parametrize("shape", [(16, 20, 2), (15, 21, 2)])
@pytest.mark.parametrize("shift", [(-0.5, -0.5), (0.3, 0.0), (1.0, -2.0)])
def test_a_band_limited_image_is_sampled_exactly(shape, shift):
    def wave(offset):
        x, y = np.meshgrid(*(np.arange(n) for n in shape[:2]), indexing="ij")
        x, y = x + offset[0], y + offset[1]
        part = np.cos(2 * np.pi * (2 * x / shape[0] + 3 * y / shape[1])) + 2
        return np.stack([part, 3 * part], axis=-1)

    np.testing.assert_allclose(sample_shifted(wave((0, 0)), shift), wave(shift), atol=1e-5)


def test_no_shift_changes_nothing_and_magnitudes_stay_positive():
    stack = np.zeros((8, 8, 1), np.float32)
    stack[3:5, 3:5] = 1
    np.testing.assert_array_equal(sample_shifted(stack, (0.0, 0.0)), stack)
    assert sample_shifted(stack, (-0.5, -0.5)).min() == 0


def test_regions_move_with_the_image_by_whole_voxels():
    regions = np.zeros((6, 7, 2), np.uint8)
    regions[2, 3], regions[5, 3] = 1, 2
    moved = sample_shifted_regions(regions, (1, -2))
    image = sample_shifted(regions.astype(float), (1.0, -2.0))
    np.testing.assert_allclose(moved, image, atol=1e-6)
    assert moved.dtype == np.uint8
    # What comes from outside is no region, though the image goes on periodically.
    assert sample_shifted_regions(regions, (-1, 0)).max() == 1
    np.testing.assert_array_equal(sample_shifted_regions(regions, (0, 0)), regions)
