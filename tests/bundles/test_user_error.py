"""A setting that a part refuses is the user's error; a fault of the code is not."""

import numpy as np
import pytest
from monai.bundle import ConfigParser

from custom.bundle.error_line import user_error
from custom.errors import InputError
from custom.networks.nets.restoration_unet import RestorationUNet

PART = "custom.networks.nets.restoration_unet.RestorationUNet"


def error_of(part):
    parser = ConfigParser({"part": part})
    with pytest.raises(Exception) as raised:  # noqa: PT011  (which one is the question)
        parser.get_parsed_content("part")
    return raised.value


def test_a_refused_setting_becomes_one_line():
    error = user_error(error_of({"_target_": PART, "down": "sideways"}))
    assert isinstance(error, InputError)
    assert str(error).startswith("down must be one of")


@pytest.mark.parametrize(
    "part",
    [
        {"_target_": PART, "nonsense": 1},  # a TypeError: the config is wrong, not a value
        {"_target_": "torch.nn.Linear", "in_features": "a", "out_features": 1},
        {"_target_": "builtins.int", "x": "a"},  # a ValueError, but not of ours
    ],
)
def test_anything_else_stays_what_it_is(part):
    assert user_error(error_of(part)) is None


def test_a_setting_that_is_refused_while_running_too():
    with pytest.raises(ValueError, match="down") as raised:
        RestorationUNet(down="sideways")
    assert str(user_error(raised.value)).startswith("down must be one of")


def test_nothing_else_raised_while_running():
    with pytest.raises(ValueError, match="broadcast") as raised:
        np.zeros(2) + np.zeros(3)
    assert user_error(raised.value) is None
