import numpy as np
import pytest

from custom.setting_checks import (
    check_above_zero,
    check_bounds,
    check_not_negative,
    check_share,
    check_whole,
)

NO_NUMBERS = (None, "ten", "nan", True, float("nan"), float("inf"), [1])


@pytest.mark.parametrize("value", [*NO_NUMBERS, 2.5, 10.0, 1, -3])
def test_what_is_no_whole_number_of_two_or_more_is_named(value):
    with pytest.raises(ValueError, match=r"^num_steps must be (a whole number|at least 2), got "):
        check_whole("num_steps", value, 2)


@pytest.mark.parametrize("value", [*NO_NUMBERS, 0, -0.1])
def test_what_is_no_positive_number_is_named(value):
    with pytest.raises(ValueError, match=r"^end_std must be positive, got "):
        check_above_zero("end_std", value)


@pytest.mark.parametrize("value", [*NO_NUMBERS, -0.1])
def test_what_is_no_number_from_zero_on_is_named(value):
    with pytest.raises(ValueError, match=r"^noise_scale must be 0 or more, got "):
        check_not_negative("noise_scale", value)


@pytest.mark.parametrize("value", [*NO_NUMBERS, -0.1, 1.01])
def test_what_is_no_share_is_named(value):
    with pytest.raises(ValueError, match=r"^clean_share must be between 0 and 1, got "):
        check_share("clean_share", value)


@pytest.mark.parametrize(("bounds", "name"), [((0, 1), "lowest"), ((1, "2"), "highest")])
def test_a_bound_that_is_not_positive_is_named(bounds, name):
    with pytest.raises(ValueError, match=f"^{name} must be positive"):
        check_bounds(*bounds)


def test_bounds_must_be_in_order():
    check_bounds(1, 2)
    with pytest.raises(ValueError, match=r"^lowest must be below highest, got 2 and 2"):
        check_bounds(2, 2)


def test_numbers_in_range_pass():
    for whole in (2, 100, np.int64(2)):
        check_whole("num_steps", whole, 2)
    for number in (1e-9, 1, np.float32(0.5)):
        check_above_zero("end_std", number)
    for share in (0, 0.5, 1):
        check_share("clean_share", share)
    for number in (0, 0.0, 3.5):
        check_not_negative("noise_scale", number)
