"""Config ids, such as ``train::trainer::max_epochs``, and the names of our code in a config."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pydoc import ErrorDuringImport, locate
from typing import Any

from custom.errors import InputError, nearest

__all__ = [
    "check_ids",
    "check_names",
    "has_value",
    "holds",
    "id_parts",
    "known_ids",
    "value_at",
    "walk",
]

_IMPORT = re.compile(r"\bfrom\s+(custom(?:\.\w+)*)\s+import\s+([\w\s,]+)")
_DOTTED = re.compile(r"(?<![\w.])custom(?:\.\w+)+")


def id_parts(name: str) -> tuple[str, ...]:
    """Return the steps of a config id.

    >>> id_parts("train::handlers::0")
    ('train', 'handlers', '0')
    """
    # MONAI takes both separators; # is the older one.
    return tuple(str(name).replace("#", "::").split("::"))


def value_at(content: Any, name: str) -> Any:
    """Return the value that a config has at an id.

    Raises:
        LookupError: If it has none.

    >>> value_at({"loss": {"alpha": [1, 2]}}, "loss::alpha::1")
    2
    """
    node = content
    for part in id_parts(name):
        index: Any = int(part) if isinstance(node, list) and part.isdigit() else part
        try:
            node = node[index]
        except (KeyError, IndexError, TypeError) as error:
            raise LookupError(name) from error
    return node


def has_value(content: Any, name: str) -> bool:
    """Return True if a config has a value at an id.

    >>> has_value({"loss": {"alpha": 0.5}}, "loss::alpha")
    True
    """
    try:
        value_at(content, name)
    except LookupError:
        return False
    return True


def check_ids(content: Mapping[str, Any], names: Iterable[str]) -> None:
    """Refuse an id that no config has; MONAI would silently add a top-level one.

    Raises:
        InputError: If an id is unknown.
    """
    for name in names:
        if not has_value(content, name):
            raise InputError(f"unknown config id {name!r}: {known_ids(content, name)}")


def known_ids(content: Mapping[str, Any], name: str) -> str:
    """Return in words the id that an unknown one resembles, or all where it leaves the config.

    >>> known_ids({"loss": {"alpha": 0.5}}, "los::alpha")
    "did you mean 'loss'?"
    >>> known_ids({"loss": {"alpha": 0.5}}, "loss::beta")
    'loss has alpha'
    """
    parts = id_parts(name)
    node: Any = content
    depth = 0
    while depth < len(parts) - 1 and isinstance(node.get(parts[depth]), Mapping):
        node, depth = node[parts[depth]], depth + 1
    names = sorted(str(key) for key in node if not str(key).startswith("_"))
    like = nearest(parts[depth], names)
    if like:
        return f"did you mean {like!r}?"
    place = f"{'::'.join(parts[:depth])} has" if depth else "the configs have"
    return f"{place} {', '.join(names)}"


def holds(name: str, other: str) -> bool:
    """Return True if setting ``name`` also sets ``other``: the same id, or one inside it.

    >>> holds("loss", "loss::alpha"), holds("loss#alpha", "loss::alpha"), holds("los", "loss")
    (True, True, False)
    """
    parts = id_parts(name)
    return id_parts(other)[: len(parts)] == parts


def walk(content: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Go through nested mappings and lists; yield each value with its id (``a::b::0``)."""
    yield place, content
    pairs: Any = ()
    if isinstance(content, dict):
        pairs = content.items()
    elif isinstance(content, list):
        pairs = enumerate(content)
    for key, value in pairs:
        yield from walk(value, f"{place}::{key}" if place else str(key))


def check_names(content: Any, start: str) -> None:
    """Refuse a config that names a part which is gone, as a run of an older version stored it.

    ``content`` is that of the merged config files, ``start`` the bundle's own config, to start from
    instead.

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
