import numpy as np
import pytest

from custom.errors import InputError
from custom.setting_checks import check_above_zero, check_not_negative, check_whole

NO_NUMBERS = (None, "ten", "nan", True, float("nan"), float("inf"), [1])


@pytest.mark.parametrize("value", [*NO_NUMBERS, 2.5, 10.0, 1, -3])
def test_what_is_no_whole_number_of_two_or_more_is_named(value):
    with pytest.raises(InputError, match=r"^num_steps must be (a whole number|at least 2), got "):
        check_whole("num_steps", value, 2)


@pytest.mark.parametrize("value", [*NO_NUMBERS, 0, -0.1])
def test_what_is_no_positive_number_is_named(value):
    with pytest.raises(InputError, match=r"^end_std must be positive, got "):
        check_above_zero("end_std", value)


@pytest.mark.parametrize("value", [*NO_NUMBERS, -0.1])
def test_what_is_no_number_from_zero_on_is_named(value):
    with pytest.raises(InputError, match=r"^noise_scale must be 0 or more, got "):
        check_not_negative("noise_scale", value)


def test_numbers_in_range_pass():
    for whole in (2, 100, np.int64(2)):
        check_whole("num_steps", whole, 2)
    for number in (1e-9, 1, np.float32(0.5)):
        check_above_zero("end_std", number)
    for number in (0, 0.0, 3.5):
        check_not_negative("noise_scale", number)
