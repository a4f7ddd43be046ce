import pytest

from custom.data.datasets.exclusions import merge_suggestions
from custom.errors import InputError
from custom.files.csv_table import read_table

SUGGESTIONS = {("a", 0): "", ("a", 1): "fast scan low SNR", ("b", 0): ""}


def test_a_new_list_excludes_nothing_by_itself(tmp_path):
    path = tmp_path / "exclusions.csv"
    assert merge_suggestions(path, SUGGESTIONS) == 0
    rows = read_table(path)
    assert [(row["scan"], row["slice"], row["exclude"]) for row in rows] == [
        ("a", "0", "no"),
        ("a", "1", "no"),
        ("b", "0", "no"),
    ]
    assert rows[1]["reason"] == "suggested: fast scan low SNR"


def test_what_a_person_wrote_stays(tmp_path):
    path = tmp_path / "exclusions.csv"
    path.write_text(
        "scan,slice,exclude,reason,who\n"
        "gone,7,yes,old scan,me\n"
        "a,1,YES,suggested: earlier one,me\n"
        "a,0,yes,moved its head,me\n"
    )
    assert merge_suggestions(path, SUGGESTIONS) == 3
    assert [list(row.values()) for row in read_table(path)] == [
        ["gone", "7", "yes", "old scan", "me"],
        ["a", "1", "YES", "suggested: fast scan low SNR", "me"],
        ["a", "0", "yes", "moved its head", "me"],
        ["b", "0", "no", "", ""],
    ]
    before = path.read_bytes()
    merge_suggestions(path, SUGGESTIONS)
    assert path.read_bytes() == before


def test_a_broken_list_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "exclusions.csv"
    path.write_text("scan;slice;exclude\na;1;yes\n")
    with pytest.raises(InputError, match="lacks the columns"):
        merge_suggestions(path, SUGGESTIONS)
    assert path.read_text() == "scan;slice;exclude\na;1;yes\n"
