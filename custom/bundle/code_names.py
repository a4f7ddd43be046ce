"""Names of our code in a config, and a check that they still exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pydoc import ErrorDuringImport, locate
from typing import Any

from custom.bundle.config_ids import walk
from custom.errors import InputError

__all__ = ["check_names"]

_IMPORT = re.compile(r"\bfrom\s+(custom(?:\.\w+)*)\s+import\s+([\w\s,]+)")
_DOTTED = re.compile(r"(?<![\w.])custom(?:\.\w+)+")


def check_names(content: Any, start: str) -> None:
    """Refuse a config that names a part which is gone, as a run of an older version stored it.

    Args:
        content: Content of the merged config files.
        start: The bundle's own config, to start from instead.

    Raises:
        InputError: If a module, class or function of ``custom`` does not exist.
    """
    known: dict[str, bool] = {}
    for place, value in walk(content):
        for name in _names(place, value):
            if name not in known:
                known[name] = _exists(name)
            if not known[name]:
                raise InputError(
                    f"{place}: {name} does not exist in this version; the config is of an older one"
                    f" or misspelt: start from the bundle's own {start} and set your values again"
                )


def _names(place: str, value: Any) -> Iterator[str]:
    """Yield the dotted names of our code that a value of a config mentions."""
    if not isinstance(value, str) or "custom" not in value:
        return
    if place.rsplit("::", 1)[-1] == "_target_" and not value.startswith("$"):
        yield from [value] if value.startswith("custom.") else []
    elif value.startswith("$"):
        for module, names in _IMPORT.findall(value):
            for name in names.split(","):
                yield f"{module}.{name.split()[0]}"
        yield from _DOTTED.findall(_IMPORT.sub("", value))


def _exists(name: str) -> bool:
    """Return True if a dotted name leads somewhere, or to a module that only cannot be imported."""
    try:
        return locate(name) is not None
    except ErrorDuringImport:
        return True  # a package that it needs is missing: said when it is used
