import pytest

from custom.data.datasets.datalist import slice_items, split_items
from custom.errors import InputError

LISTS = {"training": [{"scan": "a"}], "validation": [], "test": [{"scan": "b"}]}


def test_the_scans_of_a_split():
    assert split_items(LISTS, "test") == [{"scan": "b"}]


def test_an_unknown_or_empty_split_names_the_others():
    with pytest.raises(InputError, match="'tset' is unknown: choose one of training, validation"):
        split_items(LISTS, "tset")
    for items in (split_items, slice_items):
        with pytest.raises(
            InputError, match=r"'validation' .* no scan: there are some in training, t"
        ):
            items(LISTS, "validation")
