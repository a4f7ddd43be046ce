"""Ordinary names are different subjects; sessions of one are refused, with a remedy that fits."""

import json
import re
from pathlib import Path

import pytest

from custom.data.preparation.splits import AnimalSplit, SubjectSplit
from custom.errors import InputError

SHARES = {"training": 1, "validation": 1, "test": 1}
ADNI = "ADNI_{}_MR_MP-RAGE__br_raw_{}_{}_S{}_I{}".format

DIFFERENT = [
    ["OAS1_0001_MR1", "OAS1_0002_MR1", "OAS1_0003_MR1"],
    ["IXI002-Guys-0828-T1", "IXI012-HH-1211-T1", "IXI013-HH-1212-T1"],
    [
        ADNI("002_S_0295", "20060418193713091", 1, 13408, 45107),
        ADNI("002_S_0413", "20060602081541328", 1, 13893, 45116),
    ],
    ["100307_T1w", "100408_T1w", "101107_T1w"],
    ["20240105_anna", "20240105_bob"],
    ["MRI_2024-01-05_a", "MRI_2024-01-05_b"],
    ["MRI_05.01.2024_a", "MRI_06.01.2024_b"],
    ["20010412_T1w", "20010413_T1w"],
    ["7T_anna", "7T_bob"],
    ["0.55T_anna", "0.55T_bob"],
    ["study5_m01", "study5_m02"],
    ["2024_m1", "2024_m2"],
    ["3DT1_x", "3DT1_y"],
    ["MRI_T1_a", "MRI_T1_b", "MRI_T1_c"],
    ["sub01_ses01_T1w", "sub02_ses01_T1w"],
    ["sub-01_ses-01_FLAIR", "sub-02_ses-01_FLAIR"],
    ["scan1", "scan2"],
    ["mouse01", "mouse02", "mouse10"],
    ["D01", "D02"],
]

ONE_SUBJECT = [
    ["KO-12_d1", "KO-12_d7"],
    ["m3-w2", "m3-w6"],
    ["anna week1", "anna week2"],
    ["anna", "anna_followup"],
    ["anna_T1w", "anna_T2w"],
    ["3T_anna", "7T_anna"],
    ["anna_20240105", "anna_2024-07-05"],
    ["20240105_anna", "20240705_anna"],
    ["visit1_anna", "visit2_anna"],
    ["OAS1_0061_MR1", "OAS1_0061_MR2"],
    ["100307_T1w", "100307_T2w"],
    ["KO-12_d1_left", "KO-12_d7_right"],
    [
        ADNI("002_S_0295", "20060418193713091", 1, 13408, 45107),
        ADNI("002_S_0295", "20061102081641328", 1, 21856, 28560),
    ],
    ["mouse01_d1", "mouse01_d7"],
]


def subjects_of(names, pattern=None):
    files = [(Path(f"/data/{name}.nii.gz"), name) for name in names]
    return SubjectSplit(SHARES, pattern=pattern).subjects_of(files)


@pytest.mark.parametrize("names", DIFFERENT)
def test_ordinary_names_are_different_subjects(names):
    assert len(set(subjects_of(names))) == len(names)
    assert len(set(subjects_of([*names, "carl", "other_9"]))) == len(names) + 2


@pytest.mark.parametrize("names", ONE_SUBJECT)
def test_sessions_of_one_subject_are_refused_and_the_remedy_fits(names):
    others = ["bob_5", "XY-7_d1"]
    with pytest.raises(InputError, match="may be scans of one subject") as refused:
        subjects_of([*names, *others])
    assert f": {', '.join(sorted(names))}: tell" in str(refused.value)
    pattern = re.search(r"name, --subject_pattern '(.+?)', or", str(refused.value))[1]
    first, second, *rest = subjects_of([*names, *others], pattern)
    assert first == second
    assert len({first, *rest}) == 3


def test_what_all_names_begin_with_is_no_subject():
    names = ["head_2024-01-05_a", "head_2024-01-06_b", "head_2024-01-06_c"]
    assert subjects_of(names) == names


def test_names_that_differ_in_session_alone_are_of_one():
    with pytest.raises(InputError, match=r"KO-12_d1, KO-12_d7: tell .* '\(KO-\\d\+\)'"):
        subjects_of(["KO-12_d1", "KO-12_d7"])


def animal_split(path, training, test):
    path.write_text(json.dumps({"training": training, "validation": [], "test": test}))
    return AnimalSplit(path)


@pytest.mark.parametrize("names", DIFFERENT)
def test_a_split_file_may_set_ordinary_names_apart(tmp_path, names):
    splits = animal_split(tmp_path / "split.json", names[:1], names[1:])(names)
    assert list(splits.values()) == ["training"] + ["test"] * (len(names) - 1)


@pytest.mark.parametrize("names", [["mouse01_d1", "mouse01_d7"], ["3T_anna", "7T_anna"]])
def test_a_split_file_keeps_one_animal_on_one_side(tmp_path, names):
    path = tmp_path / "split.json"
    assert set(animal_split(path, names, ["bob"])(names).values()) == {"training"}
    with pytest.raises(InputError, match=f"one split: {', '.join(names)}: tell"):
        animal_split(path, names[:1], names[1:])(names)


@pytest.mark.parametrize("name", ["anna_7T", "anna_3DT1", "anna_d7"])
def test_a_number_that_is_no_animals_finds_none(tmp_path, name):
    split = animal_split(tmp_path / "split.json", ["mouse07", "mouse31"], ["mouse01", "mouse03"])
    with pytest.raises(InputError, match=r"tell the split of .*--subject_pattern '\(anna\)'"):
        split([name])


def test_a_published_split_that_places_no_animal_is_not_said_to(tmp_path, caplog):
    path = tmp_path / "split.json"
    lists = {"training": ["mouse01"], "validation": [], "test": []}
    path.write_text(json.dumps({"description": "mice of a paper", **lists}))
    assert AnimalSplit(path)(["anna", "bob"]) == {}
    assert "is applied to your animals" not in caplog.text
    assert AnimalSplit(path)(["anna", "m1"]) == {"m1": "training"}
    assert "is applied to your animals: m1 as mouse01 (training)" in caplog.text
