import pytest

from custom.bundle.metadata_entries import ResultMap, result_maps
from custom.errors import InputError

ENTRY = {"description": "A map.", "series_number_offset": 6000}


def test_what_is_stated_is_read():
    code = ["113062", "Pixel by pixel subtraction"]
    maps = {"a": ENTRY, "b2": {**ENTRY, "series_number_offset": 6100, "code": code}}
    assert result_maps({"maps": maps}) == {
        "a": ResultMap("A map.", 6000),
        "b2": ResultMap("A map.", 6100, ("113062", "Pixel by pixel subtraction")),
    }
    assert result_maps({}) == {}


@pytest.mark.parametrize(
    ("maps", "words"),
    [
        (["a"], "must be an object"),
        ({"A_b": ENTRY}, "small letters"),
        ({"a": "text"}, r"a\.description must be"),
        ({"a": {**ENTRY, "description": "µ"}}, "ASCII"),
        ({"a": {**ENTRY, "series_number_offset": 5000}}, "at least 6000, got 5000"),
        ({"a": {**ENTRY, "series_number_offset": True}}, "at least 6000, got True"),
        ({"a": {**ENTRY, "code": ["113062"]}}, r"must be \[value, meaning\]"),
        ({"a": ENTRY, "b": ENTRY}, "two have one series_number_offset"),
    ],
)
def test_what_is_no_map_is_refused(maps, words):
    with pytest.raises(InputError, match=words):
        result_maps({"maps": maps})
