"""A setting that a part refuses is the user's error; a fault of the code is not."""

import ast
import re
from pathlib import Path

import numpy as np
import pytest
from monai.bundle import ConfigParser

import custom
from custom.bundle.error_line import user_error
from custom.errors import InputError
from custom.files.text_files import read_unique
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


def test_a_remedy_names_an_id_as_the_user_types_it():
    """``--noise_scale 0`` fits both command lines; ``set noise_scale`` fits none."""
    house = Path(custom.__file__).parent
    configs = (house.parent / "bundles").glob("*/configs/*.yaml")
    ids = {name for file in configs for name in read_unique(file)}
    ids = {name for name in ids if "_" in name} | {"overwrite", "resume", "sigma", "s0", "bval"}
    bare = re.compile(rf"\b(set|use|give|lower)( an?| another| its)? ({'|'.join(ids)})\b(?!:)")
    said = {
        f"{file.relative_to(house)}: {node.value}"
        for file in house.rglob("*.py")
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(call, ast.Raise)
        or (isinstance(call, ast.Call) and getattr(call.func, "attr", "") == "warning")
        for node in ast.walk(call)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert len(said) > 300
    assert not [text for text in said if bare.search(text)]
