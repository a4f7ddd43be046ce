import numpy as np
import pytest

from custom.metrics.contrast_to_noise import cnr_problem, contrast_to_noise_ratio

REGIONS = np.array([[1, 1, 2, 2], [0, 1, 2, 2], [7, 0, 0, 0]], dtype=np.uint8)
IMAGE = np.array([[10.0, 12, 1, 3], [99, 14, 5, 7], [99, 99, 99, 99]])


def test_by_hand():
    # region 10, 12, 14: mean 12; background 1, 3, 5, 7: mean 4, deviation sqrt(5)
    assert contrast_to_noise_ratio(IMAGE, REGIONS) == pytest.approx(8 / np.sqrt(5))


def test_gain_offset_and_repeated_pixels_change_nothing():
    expected = contrast_to_noise_ratio(IMAGE, REGIONS)
    assert contrast_to_noise_ratio(3e4 * IMAGE - 5, REGIONS) == pytest.approx(expected)
    twice = np.kron(IMAGE, np.ones((2, 2))), np.kron(REGIONS, np.ones((2, 2), np.uint8))
    assert contrast_to_noise_ratio(*twice) == pytest.approx(expected)
    assert contrast_to_noise_ratio(-IMAGE, REGIONS) == pytest.approx(-expected)


@pytest.mark.parametrize(
    ("image", "regions", "problem"),
    [
        (IMAGE, np.where(REGIONS == 1, 0, REGIONS), "no region of interest drawn"),
        (IMAGE, np.where(REGIONS == 2, 0, REGIONS), "no background drawn"),
        (np.ones_like(IMAGE), REGIONS, "constant background"),
    ],
)
def test_the_reason_is_said_where_there_is_no_ratio(image, regions, problem):
    assert cnr_problem(image, regions) == problem
    with pytest.raises(ValueError, match=problem):
        contrast_to_noise_ratio(image, regions)


def test_shapes_must_agree():
    assert cnr_problem(IMAGE, REGIONS) is None
    with pytest.raises(ValueError, match="shape"):
        contrast_to_noise_ratio(IMAGE, REGIONS[:2])
