import json
import sys

import pytest
import sqlalchemy

from custom.bundle.typed_values import as_data
from custom.errors import InputError
from custom.files.database_url import (
    check_driver,
    make_sqlite,
    sqlite_file,
    sqlite_url,
    without_password,
)


@pytest.mark.parametrize("name", ["plain", "a b", "mäuse", "100%25", "why?", "run#2", "a&b=c"])
def test_an_sqlite_file_is_found_by_its_address(tmp_path, name):
    file = tmp_path / name / "x.db"
    assert sqlite_file(sqlite_url(file)) == file
    file.parent.mkdir()
    with sqlalchemy.create_engine(sqlite_url(file)).begin() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE mice (name TEXT)"))
    assert file.stat().st_size
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_escapes_are_read_and_other_databases_have_no_file():
    assert str(sqlite_file("sqlite:////a%20b/x.db")) == "/a b/x.db"
    assert sqlite_file("sqlite://") is None
    assert sqlite_file("postgresql://host/name") is None


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://me:secret@host/trials",
        "got 'http://me:secret@host:5000/api' and nothing else",
        "http://me:secret@with/secret@host:5000",
        "mysql+pymysql://host/trials?user=me&password=secret",
        "http://secret@host:5000",
        json.dumps([as_data("https://secret@host#1")]),
        "two words://:secret@host",
        as_data("http://me:secret#1@host"),
        json.dumps([as_data("http://me:secret#1@host")]),
    ],
)
def test_no_password_is_left(text):
    assert "secret" not in without_password(text)
    assert "host" in without_password(text)


@pytest.mark.parametrize("text", ["http://host:5000/a", "sqlite:////a b/me@home.db", "me@host"])
def test_what_holds_no_password_stays(text):
    assert without_password(text) == text


@pytest.mark.parametrize(
    ("url", "module", "message"),
    [
        ("postgresql+psycopg://h/x", "psycopg", r"pip install 'psycopg\[binary\]'"),
        ("postgresql+psycopg2://h/x", "psycopg2", "pip install psycopg2-binary"),
        ("mysql://h/x", "MySQLdb", "pip install mysqlclient"),
        ("mysql+pymysql://h/x", "pymysql", "pip install pymysql"),
        ("mysql+mysqlconnector://h/x", "mysql", "pip install mysql-connector-python"),
        ("postgres://h/x", "", "write postgresql://"),
        ("redis://h/x", "", "no database 'redis'"),
        ("study.db", "", "no address of a database"),
    ],
)
def test_a_driver_is_called_as_pip_calls_it(monkeypatch, url, module, message):
    monkeypatch.setitem(sys.modules, module or "no module", None)
    with pytest.raises(InputError, match=message):
        check_driver(url)


def test_a_database_is_made_whole_or_not_at_all(tmp_path):
    file = tmp_path / "new" / "x.db"

    def create(url, stop=False):
        with sqlalchemy.create_engine(url).begin() as connection:
            connection.execute(sqlalchemy.text("CREATE TABLE mice (name TEXT)"))
        if stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_sqlite(file, lambda url: create(url, stop=True))
    assert list(file.parent.iterdir()) == []
    make_sqlite(file, create)
    make_sqlite(file, lambda _: pytest.fail("made twice"))
    assert [path.name for path in file.parent.iterdir()] == ["x.db"]
