"""Arguments of the command line, before a config is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from custom.bundle.typed_values import as_data

__all__ = ["UsageError", "absolute", "given", "path_setting"]


class UsageError(Exception):
    """The command was typed wrongly."""


def absolute(name: str | Path) -> str:
    """Return an absolute path; ``~/`` at its beginning is the user's home.

    A link keeps its own name: its neighbours belong to it, and results are named after it.

    Raises:
        UsageError: If the name is empty, which would stand for the working folder.
    """
    if not str(name):
        raise UsageError("a path is empty: give a file or a folder")
    path = Path(name)
    path = (path.expanduser() if path.parts[:1] == ("~",) else path).absolute()
    if ".." not in path.parts:
        return str(path)
    # What ".." means after a link only the file system knows.
    return str(path.resolve() if path.name == ".." else path.parent.resolve() / path.name)


def path_setting(names: str | Sequence[str] | None) -> Any:
    """Return one path or several, absolute, as the value of a config id; None stays None."""
    if names is None:
        return None
    if isinstance(names, str):
        return as_data(absolute(names))
    paths = [as_data(absolute(name)) for name in names]
    return paths if len(paths) > 1 else paths[0]


def given(**values: Any) -> dict[str, Any]:
    """Return the arguments that are not None."""
    return {key: value for key, value in values.items() if value is not None}
