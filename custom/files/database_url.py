"""Addresses of databases: SQLite files, passwords, drivers."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from custom.errors import InputError
from custom.files.atomic import atomic_path
from custom.files.process_lock import process_lock

__all__ = ["check_driver", "make_sqlite", "sqlite_file", "sqlite_url", "without_password"]

# What pip calls the drivers that are not called as their module, or need more than it.
_PACKAGES = {
    "MySQLdb": "mysqlclient",
    "mysql": "mysql-connector-python",
    "psycopg": "'psycopg[binary]'",
    "psycopg2": "psycopg2-binary",
}
_PASSWORDS = (
    # Up to the last @ of the word, since a password may hold one that is not written as %40.
    # A config's expressions write : and @ as \x3a and \x40, JSON both with two backslashes.
    (re.compile(r"(//[^\s:/@\\]*)(:|\\+x3a)\S*(@|\\+x40)"), r"\1\2***\3"),
    # A server's token may stand in place of the name, without a password.
    (re.compile(r"(https?(?::|\\+x3a)//)[^\s/]+(@|\\+x40)"), r"\1***\2"),
    (re.compile(r"([?&](?:pass\w*|pwd|token)=)[^\s&'\"]+", re.IGNORECASE), r"\1***"),
)


def sqlite_url(file: str | Path) -> str:
    """Return SQLAlchemy's address of an SQLite file.

    Spaces and letters of any language stay as they are: MLflow makes the folder of the address as
    it is written.
    """
    return "sqlite:///" + str(file).replace("%", "%25").replace("?", "%3F")


def sqlite_file(url: str) -> Path | None:
    """Return the file of an SQLite address, written with or without escapes; else ``None``."""
    import sqlalchemy

    if not url.startswith("sqlite"):
        return None
    database = sqlalchemy.make_url(url).database
    return None if database in (None, "", ":memory:") else Path(str(database))


def make_sqlite(file: Path, create: Callable[[str], None]) -> None:
    """Make an SQLite file whole or not at all, once, however many processes ask at once.

    Args:
        file: The file. Nothing is done if it is there.
        create: Makes the tables in the database of an address, and closes it.
    """

    def there() -> bool:
        return file.exists() and file.stat().st_size > 0

    if there():
        return
    with process_lock(file.with_name(f".{file.name}.lock")):
        if not there():
            with atomic_path(file) as temporary:
                create(sqlite_url(temporary))


def without_password(text: str) -> str:
    """Return a text without the passwords of anything like an address, well formed or not.

    >>> without_password("no route to postgresql://me:secret@host/trials?password=secret")
    'no route to postgresql://me:***@host/trials?password=***'
    """
    for form, shown in _PASSWORDS:
        text = form.sub(shown, text)
    return text


def check_driver(url: str) -> None:
    """Refuse a database that SQLAlchemy does not know, or whose driver is not installed.

    Raises:
        InputError: With the name that SQLAlchemy or pip knows.
    """
    import sqlalchemy

    shown = without_password(url)
    try:
        sqlalchemy.make_url(url).get_dialect().import_dbapi()
    except sqlalchemy.exc.NoSuchModuleError as error:
        name = url.partition(":")[0]
        known = "postgresql" if name.startswith("postgres") else "sqlite, postgresql or mysql"
        raise InputError(f"{shown}: there is no database {name!r}: write {known}://...") from error
    except sqlalchemy.exc.ArgumentError as error:
        raise InputError(f"{shown!r} is no address of a database") from error
    except ImportError as error:
        # psycopg without its C library names no module.
        module = (error.name or "psycopg").partition(".")[0]
        package = _PACKAGES.get(module, module)
        raise InputError(f"{shown}: its driver is not installed: pip install {package}") from error
