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
    wanted = {"mouse01": "training", "MOUSE22": "test", "m1": "training", "A2": "training"}
    assert split([*wanted, "mouse10"]) == wanted | {"mouse10": "validation"}
    assert split(["mouse3", "nameless", "mouse1022"]) == {}


@pytest.mark.parametrize(
    "names",
    [
        ["c2"],  # a2 is trained on, b2 tested on
        ["study-10-m1"],  # two numbers
        ["KO-1-d1", "KO-1-d10"],
        ["anna-week1"],  # no number of an animal
        ["anna_day-10"],
        ["ses-1"],
    ],
)
def test_a_name_that_may_be_several_is_refused_with_all_such_names(tmp_path, names):
    split = AnimalSplit(write(tmp_path, training=["mouse01", "a2"], validation=[10], test=["b2"]))
    with pytest.raises(InputError, match="does not tell the split of") as error:
        split(["m1", *names])
    assert all(name in str(error.value) for name in names)


def test_sessions_of_one_animal_stay_on_one_side(tmp_path):
    path = write(tmp_path, training=["KO-12 d1", "WT 1 d1"], test=["KO-12 d7"])
    with pytest.raises(InputError, match=r"one subject, .*: KO-12-d1, KO-12-d7: tell"):
        AnimalSplit(path)(["KO-12-d1", "KO-12-d7", "WT-1-d1"])
    apart = AnimalSplit(path, ".+")(["KO-12-d1", "KO-12-d7"])
    assert apart == {"KO-12-d1": "training", "KO-12-d7": "test"}


def test_who_takes_whose_place_is_said(tmp_path, caplog):
    path = write(tmp_path, training=["mouse01"], test=["mouse02"])
    AnimalSplit(path)(["mouse01"])
    (record,) = caplog.records
    assert record.getMessage() == "split_file split.json names animals without a scan: mouse02"
    AnimalSplit(path)(["m2", "mouse01"])
    assert "m2 as mouse02 (test), mouse01 as mouse01 (training); if they are" in caplog.text


def test_an_animal_in_two_splits_is_refused(tmp_path):
    with pytest.raises(InputError, match="mouse1 in two splits"):
        AnimalSplit(write(tmp_path, training=["mouse1"], test=["mouse1"]))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", ""),
        ("[]", ""),
        ('{"training": []}', "validation"),
        ('{"training": [], "validaton": [], "test": []}', "did you mean 'validation'"),
        ('{"training": [], "validation": [], "test": [], "test": []}', "Duplicate key: `test`"),
    ],
)
def test_a_broken_file_is_named(tmp_path, text, reason):
    path = tmp_path / "split.json"
    path.write_text(text)
    with pytest.raises(InputError, match=rf"split\.json is not of the form.*{reason}"):
        AnimalSplit(path)
