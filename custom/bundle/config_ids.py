"""Config ids, such as ``train::trainer::max_epochs``, and their lookup in a config."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from custom.errors import InputError

__all__ = ["check_ids", "has_value", "holds", "id_parts", "known_ids", "walk"]


def id_parts(name: str) -> tuple[str, ...]:
    """Return the steps of a config id.

    >>> id_parts("train::handlers::0")
    ('train', 'handlers', '0')
    """
    return tuple(str(name).replace("#", "::").split("::"))


def has_value(content: Any, parts: Sequence[str]) -> bool:
    """Return True if a config, or a part of one, has a value at these steps.

    >>> has_value({"loss": {"alpha": 0.5}}, ["loss", "alpha"])
    True
    """
    node = content
    for part in parts:
        index: Any = int(part) if isinstance(node, list) and part.isdigit() else part
        try:
            node = node[index]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def check_ids(content: Mapping[str, Any], names: Iterable[str]) -> None:
    """Refuse an id that no config has; MONAI would silently add a top-level one.

    Args:
        content: Content of the merged config files.
        names: Ids that are to be set.

    Raises:
        InputError: If an id is unknown.
    """
    for name in names:
        if not has_value(content, id_parts(name)):
            raise InputError(f"unknown config id {name!r}: {known_ids(content, name)}")


def known_ids(content: Mapping[str, Any], name: str) -> str:
    """Return the ids at the level where an unknown id leaves the config, in words.

    >>> known_ids({"loss": {"alpha": 0.5}}, "los::alpha")
    'the configs have loss'
    >>> known_ids({"loss": {"alpha": 0.5}}, "loss::beta")
    'loss has alpha'
    """
    parts = id_parts(name)
    node: Any = content
    place = "the configs have"
    for depth, part in enumerate(parts[:-1], start=1):
        inner = node.get(part)
        if not isinstance(inner, Mapping):
            break
        node, place = inner, f"{'::'.join(parts[:depth])} has"
    return f"{place} {', '.join(sorted(str(key) for key in node if not str(key).startswith('_')))}"


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
