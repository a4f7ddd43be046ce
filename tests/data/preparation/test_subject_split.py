from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custom.data.preparation.splits import SubjectSplit

SHARES = {"training": 0.7, "validation": 0.1, "test": 0.2}


@pytest.mark.parametrize(
    ("number", "expected"),
    [(3, (1, 1, 1)), (4, (2, 1, 1)), (10, (7, 1, 2)), (20, (14, 2, 4)), (100, (70, 10, 20))],
)
def test_shares_are_kept_and_each_split_gets_one(number, expected):
    counts = Counter(SubjectSplit(SHARES)(map(str, range(number))).values())
    assert tuple(counts[split] for split in SHARES) == expected


@settings(max_examples=20, deadline=None)
@given(
    st.integers(3, 40),
    st.tuples(*[st.integers(0, 9)] * 3).filter(any),
)
def test_everyone_is_in_one_split_and_a_share_of_nought_stays_empty(number, numbers):
    subjects = {str(index) for index in range(number)}
    shares = dict(zip(SHARES, numbers, strict=True))
    splits = SubjectSplit(shares)([*subjects, *subjects])
    assert splits.keys() == subjects
    counts = Counter(splits.values())
    assert {split for split in counts if counts[split]} == {key for key in shares if shares[key]}
    total = sum(numbers)
    for split, share in shares.items():  # within one of the share, and of the others' first one
        assert abs(counts[split] - share / total * len(subjects)) < 2


def test_the_draw_depends_on_the_seed_alone():
    names = [f"s{number}" for number in range(30)]
    one = SubjectSplit(SHARES, seed=1)
    assert one(names) == one(reversed(names)) == SubjectSplit(SHARES, seed=1)(names)
    assert one(names) != SubjectSplit(SHARES, seed=2)(names)


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        (None, "/a/sub-01/anat/sub-01_T1w.nii.gz", "sub-01"),
        (None, "/a/sub-x/ses-2/head.nii", "sub-x"),
        (None, "/sub-all/derived_sub-07_T1w.nii", "sub-07"),  # the nearest to the file
        (None, "/a/nosub-01.nii", "name"),
        (r"mouse\d+", "/mouse1/mouse23_t2.nii", "mouse23"),
        (r"(m\d+)_|x", "/m4_t2.nii", "m4"),
        (r"(m\d+)_|t2", "/m4_t2.nii", "name"),  # the last match has no first group
    ],
)
def test_who_a_file_shows(pattern, path, expected):
    assert SubjectSplit(SHARES, pattern=pattern).subjects_of([(Path(path), "name")]) == [expected]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shares": {"training": 1}}, "a number for each"),
        ({"shares": 0.7}, "a number for each"),
        ({"shares": SHARES | {"test": -1}}, "shares::test must be 0 or more"),
        ({"shares": dict.fromkeys(SHARES, 0)}, "not all be 0"),
        ({"seed": 0.5}, "seed"),
        ({"pattern": "("}, "no pattern"),
    ],
)
def test_what_makes_no_split_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message) as error:
        SubjectSplit(**({"shares": SHARES} | arguments))
    assert "\n" not in str(error.value)


def test_too_few_subjects_are_named():
    with pytest.raises(ValueError, match=r"2 subjects \(a, b\) cannot fill training, validation,"):
        SubjectSplit(SHARES)(["a", "b", "a"])
    assert len(SubjectSplit(SHARES | {"test": 0})(["a", "b"])) == 2
