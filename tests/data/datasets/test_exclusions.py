import json

import pytest

from custom.data.datasets.exclusions import EXCLUSION_COLUMNS, read_exclusions
from custom.errors import InputError
from custom.files.csv_table import write_table


def test_round_trip_keeps_only_what_a_person_said_yes_to(tmp_path):
    rows = [
        {"scan": "a", "slice": 3, "exclude": "yes", "reason": "ghost, strong"},
        {"scan": "a", "slice": 4, "exclude": "no", "reason": ""},
        {"scan": "b", "slice": 0, "exclude": "YES", "reason": "", "snr": 1.0},
    ]
    path = write_table(tmp_path / "exclusions.csv", (*EXCLUSION_COLUMNS, "snr"), rows)
    assert read_exclusions(path) == {"a": {3}, "b": {0}}


def test_json_form(tmp_path):
    path = tmp_path / "e.json"
    path.write_text(json.dumps({"a": [1, 2], "b": []}))
    assert read_exclusions(path) == {"a": {1, 2}}
    assert read_exclusions(None) == {}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("e.csv", "scan,slice\na,1\n", "lacks the columns"),
        ("e.csv", "scan,slice,exclude,reason\na,1,perhaps,\n", "row 1"),
        ("e.csv", "scan,slice,exclude,reason\na,-1,yes,\n", "row 1"),
        ("e.json", "[1]", "not of the form"),
        ("e.json", "{", "not of the form"),
        ("e.json", '{"a": "12"}', "'a' needs a list of whole numbers"),
        ("e.json", '{"a": [0, -1]}', "'a' needs a list of whole numbers"),
        ("e.json", '{"a": [1.5]}', "'a' needs a list of whole numbers"),
        ("e.json", '{"a": ["1"]}', "'a' needs a list of whole numbers"),
        ("e.json", '{"a": [true]}', "'a' needs a list of whole numbers"),
        ("e.csv", "scan,slice,exclude\na,1,yes\na,1,no\n", "row 2: a slice 1 is there twice"),
        ("e.csv", "scan,slice,exclude,exclude\na,1,yes,no\n", "a column twice"),
        ("e.csv", "scan,slices,exclude\na,1,yes\n", "did you mean 'slices'"),
        ("e.json", '{"a": [1], "a": [2]}', "Duplicate key: `a`"),
        ("e.json", '{"a": [1, 1]}', "'a' has a slice twice"),
        ("e.json", '{"a": 3}', "'a' needs a list of whole numbers"),
        ("e.csv", "scan,slice,exclude,reason\na,²,yes,\n", "row 1"),
    ],
)
def test_nonsense_is_named(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_exclusions(path)


def test_a_missing_list_is_named(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_exclusions(tmp_path / "none.csv")
