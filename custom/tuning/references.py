"""References ``${name}`` in a search space, which are replaced by drawn values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["fill", "references"]

_REFERENCE = re.compile(r"\$\{([^{}]*)\}")


def references(value: Any) -> set[str]:
    """Return the names that occur as ``${name}`` in a value and its content.

    >>> sorted(references({"gamma": "${decay}", "betas": ["${beta}", 0.99]}))
    ['beta', 'decay']
    """
    if isinstance(value, str):
        return set(_REFERENCE.findall(value))
    return {name for part in _parts(value) for name in references(part)}


def fill(value: Any, drawn: Mapping[str, Any]) -> Any:
    """Return a value with its references replaced by drawn values.

    A reference that is the whole text keeps the drawn value's type; within a text it becomes text.

    >>> fill({"_target_": "torch.optim.${name}", "lr": "${rate}"}, {"name": "SGD", "rate": 0.1})
    {'_target_': 'torch.optim.SGD', 'lr': 0.1}

    Raises:
        KeyError: If a name was not drawn.
    """
    if isinstance(value, str):
        whole = _REFERENCE.fullmatch(value)
        if whole:
            return drawn[whole[1]]
        return _REFERENCE.sub(lambda match: str(drawn[match[1]]), value)
    if isinstance(value, Mapping):
        return {key: fill(part, drawn) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [fill(part, drawn) for part in value]
    return value


def _parts(value: Any) -> list[Any]:
    """Return the content of a mapping or list; nothing for a plain value."""
    if isinstance(value, Mapping):
        return list(value.values())
    return list(value) if isinstance(value, (list, tuple)) else []
