"""Config ids, as ``train::trainer::max_epochs``, and whether a config has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from custom.errors import InputError

__all__ = ["check_ids", "has_value", "id_parts", "known_ids"]


def id_parts(name: str) -> tuple[str, ...]:
    """Return the steps of a config id.

    >>> id_parts("train::handlers::0")
    ('train', 'handlers', '0')
    """
    return tuple(str(name).replace("#", "::").split("::"))


def has_value(content: Any, parts: Sequence[str]) -> bool:
    """Say whether a config, or a part of one, has a value at these steps.

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
    """Refuse an id that no config has; MONAI would add a top-level one in silence.

    Args:
        content: Content of the merged config files.
        names: Ids that are to be set.

    Raises:
        InputError: If an id is unknown.
    """
    for name in names:
        if not has_value(content, id_parts(name)):
            raise InputError(f"unknown config id {name!r}: the configs have {known_ids(content)}")


def known_ids(content: Mapping[str, Any]) -> str:
    """Return the ids at the top of a config, for a message."""
    return ", ".join(sorted(key for key in content if not key.startswith("_")))
