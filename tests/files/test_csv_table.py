import pytest

from custom.errors import InputError
from custom.files.csv_table import read_table, write_table


def test_rows_come_back(tmp_path):
    path = write_table(tmp_path / "new" / "t.csv", ("a", "b"), [{"b": 1 / 3, "a": 'x, "y"'}])
    assert read_table(path, ("a",)) == [{"a": 'x, "y"', "b": "0.3333333"}]


def test_an_unknown_key_leaves_the_old_table(tmp_path):
    path = write_table(tmp_path / "t.csv", ("a",), [{"a": 1}])
    with pytest.raises(ValueError, match="other"):
        write_table(path, ("a",), [{"a": 2}, {"other": 3}])
    assert read_table(path) == [{"a": "1"}]


def test_what_is_no_such_table_is_named(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"t\.csv lacks the columns \['c'\]"):
        read_table(tmp_path / "t.csv", ("a", "c"))
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(InputError, match="lacks"):
        read_table(tmp_path / "empty.csv", ("a",))
    (tmp_path / "image.csv").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(InputError, match="no UTF-8 text"):
        read_table(tmp_path / "image.csv", ("a",))
    with pytest.raises(InputError, match="cannot be read"):
        read_table(tmp_path / "missing.csv")


def test_a_table_saved_by_a_spreadsheet_is_read(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbfscan,slice\na,1\n")
    assert read_table(tmp_path / "t.csv", ("scan",)) == [{"scan": "a", "slice": "1"}]


def test_a_table_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("custom.files.csv_table._MOST_ROWS", 3)
    (tmp_path / "t.csv").write_text("a\n" + "1\n" * 3)
    assert len(read_table(tmp_path / "t.csv")) == 3
    (tmp_path / "t.csv").write_text("a\n" + "1\n" * 4)
    with pytest.raises(InputError, match=r"t\.csv has over 3 rows"):
        read_table(tmp_path / "t.csv")
