import pytest

from custom.evaluation.image_measures import mse, psnr, ssim
from custom.evaluation.measure import best_method, format_value, title


@pytest.mark.parametrize(
    ("measure", "value", "text"),
    [
        (psnr(), 31.23456, "31.23"),
        (ssim(), 0.98765, "0.988"),
        (mse(), 7.123e-5, "7.12e-05"),
        (mse(), 0.0, "0"),
        (mse(), None, "-"),
    ],
)
def test_digits_that_mean_something(measure, value, text):
    assert format_value(measure.about(), value) == text


def test_names_of_a_region_and_of_ones_own():
    assert title(psnr().about()) == "PSNR [dB]"
    lesion = ssim("lesion")
    assert (lesion.name, title(lesion.about())) == ("ssim_lesion", "SSIM, lesion")
    assert psnr("foreground", label="PSNR of tissue").label == "PSNR of tissue"


def test_the_best_is_the_largest_or_the_smallest_or_none():
    values = {"input": 1.0, "cubic": None, "model": 2.0}
    assert best_method(psnr().about(), values) == "model"
    assert best_method(mse().about(), values) == "input"
    assert best_method(mse(better="target").about(), values) == ""
    assert best_method(mse().about(), {"model": None}) == ""
