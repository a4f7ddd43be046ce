import json

import pytest

from custom.data.preparation.splits import AnimalSplit
from custom.errors import InputError


def write(tmp_path, **lists):
    path = tmp_path / "split.json"
    path.write_text(json.dumps({"training": [], "validation": [], "test": []} | lists))
    return path


def test_names_come_before_numbers(tmp_path):
    path = write(tmp_path, training=["mouse01", "a2"], validation=[10], test=["b2", "mouse22"])
    split = AnimalSplit(path)
    assert split.split_of("mouse01") == "training"
    assert split.split_of("MOUSE22") == "test"
    assert split.split_of("study-5-m1") == "training"
    assert split.split_of("mouse10") == "validation"
    assert split.split_of("A2") == "training"
    with pytest.raises(InputError, match="c2 could be several"):
        split.split_of("c2")
    for unknown in ("mouse3", "nameless", "mouse1022"):
        with pytest.raises(InputError, match=f"{unknown} is not in split_file"):
            split.split_of(unknown)


def test_an_animal_in_two_splits_is_refused(tmp_path):
    with pytest.raises(InputError, match="mouse1 in two splits"):
        AnimalSplit(write(tmp_path, training=["mouse1"], test=["mouse1"]))


@pytest.mark.parametrize("text", ["{", "[]", '{"training": []}'])
def test_a_broken_file_is_named(tmp_path, text):
    path = tmp_path / "split.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"split\.json is not of the form"):
        AnimalSplit(path)
