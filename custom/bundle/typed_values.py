"""Values that are typed on the command line, and how they reach a config unchanged."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from custom.bundle.config_ids import id_parts, value_at
from custom.errors import InputError

__all__ = [
    "CODE",
    "TypedWords",
    "as_data",
    "check_kind",
    "device_setting",
    "in_expression",
    "literal",
    "read_words",
    "truth",
]

_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_NOTHING = ("null", "None")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
# What MONAI's configs take for code, a reference, a macro, or the older separator of ids.
CODE = ("$", "@", "%")
_MEANING = re.compile(r"^[$@%]|#|::")


class TypedWords(tuple[str, ...]):
    """The words that a user typed behind a config id, still without a type."""

    __slots__ = ()


def truth(word: str) -> bool | None:
    """Return the boolean that a word stands for, or None.

    >>> truth("Yes"), truth("false"), truth("2")
    (True, False, None)
    """
    return _TRUTH.get(word.lower())


def as_data(text: str) -> str:
    """Return a text so that MONAI's configs take it as it is.

    A text with a meaning there becomes the expression of its literal.

    >>> eval(as_data("/data/mouse #3").removeprefix("$"))
    '/data/mouse #3'
    """
    return f"${in_expression(text)}" if _MEANING.search(text) else text


def in_expression(text: str) -> str:
    """Return a text's literal for an expression of a config, which MONAI searches for ids."""
    return re.sub("[#@:]", lambda found: f"\\x{ord(found[0]):02x}", ascii(text))


def read_words(content: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Give typed words the types that the config's own values have.

    Booleans are true, false, yes, no, 1 or 0. ``null`` takes a value away. Several words are a
    list, and so is ``[A, B]`` (YAML). Where the own value is neither boolean nor number, numbers
    and booleans are read as YAML reads them. All other text stays as typed, and is never code; a
    mapping with a ``_target_`` becomes a part.

    Args:
        content: The merged config, with every id of the overrides.
        overrides: Config ids and values; those that are no :class:`TypedWords` stay as they are.

    Raises:
        InputError: If the words do not fit the config's own value.
    """
    return {
        name: _value(name, value_at(content, name), words)
        if isinstance(words, TypedWords)
        else words
        for name, words in overrides.items()
    }


def device_setting(name: str) -> str:
    """Return a device as a config takes it, if it can be used.

    Raises:
        InputError: If it cannot.
    """
    import torch

    try:
        # Only an allocation shows it; a torch without CUDA raises an AssertionError.
        torch.empty(1, device=torch.device(name))
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"device {name!r} cannot be used: {reason}") from error
    return f"$torch.device({name!r})"


def check_kind(name: str, own: Any, value: Any) -> None:
    """Refuse a value that is of another kind than the config's own boolean or number.

    A setting of the config that is 0 or more stays so; one inside a part may be an axis.

    Raises:
        InputError: If it is refused. Expressions and ``None`` are not, save for a boolean.
    """
    if isinstance(value, str) and value.startswith(CODE):
        return
    if isinstance(own, bool):
        if not isinstance(value, bool):
            raise InputError(f"{name} must be true or false, got {value!r}")
    elif isinstance(own, (int, float)) and value is not None:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            hint = " (YAML reads 1e-4 as a text: write 1.0e-4)" * bool(
                _NUMBER.fullmatch(str(value))
            )
            raise InputError(f"{name} must be a number, as {own}, got {value!r}{hint}")
        if not math.isfinite(value):
            raise InputError(f"{name} must be finite, got {value!r}")
        if isinstance(own, int) and value != int(value):
            raise InputError(f"{name} must be a whole number, got {value!r}")
        if value < 0 <= own and len(id_parts(name)) == 1:
            raise InputError(f"{name} must be 0 or more, got {value!r}")


def literal(word: str) -> Any:
    """Return a word as YAML reads it, if that loses nothing of how it was typed."""
    import yaml

    if word in _NOTHING:
        return None
    if word in ("true", "True", "false", "False"):
        return truth(word)
    if _NUMBER.fullmatch(word):
        number = _number(word)
        # 1.10, 007 and 1e3 may be names.
        return number if str(number) == word or re.search(r"\de[+-]", word) else word
    if word[:1] + word[-1:] in ("[]", "{}"):
        try:
            return yaml.safe_load(word)
        except yaml.YAMLError:
            return word
    return word


def _value(name: str, own: Any, words: Sequence[str]) -> Any:
    """Return the value of one id."""
    if not words:
        if isinstance(own, bool):
            return True
        raise InputError(f"--{name} needs a value")
    if isinstance(own, str) and "torch.device(" in own and words[0] not in _NOTHING:
        return device_setting(" ".join(words))
    value = _one(own, words[0]) if len(words) == 1 else [literal(word) for word in words]
    check_kind(name, own, value)
    if isinstance(value, list) and isinstance(own, (str, dict)) and not str(own).startswith(CODE):
        raise InputError(f"--{name} takes one value, got {' '.join(words)}")
    if isinstance(own, dict) and value is not None and not isinstance(value, dict):
        raise InputError(f"--{name} must be a mapping, as '{{a: 1}}', got {words[0]!r}")
    return _data(value)


def _one(own: Any, word: str) -> Any:
    """Return the value of one word."""
    if isinstance(own, bool):
        answer = truth(word)
        return word if answer is None else answer
    if word in _NOTHING:
        return None
    if isinstance(own, (int, float)):
        return _number(word) if _NUMBER.fullmatch(word) else word
    value = literal(word)
    return [value] if isinstance(own, list) and not isinstance(value, list) else value


def _number(word: str) -> int | float:
    """Return a number, whole if its value is."""
    if word.lstrip("+-").isdigit():
        return int(word)
    value = float(word)
    return int(value) if "." not in word and value.is_integer() else value


def _data(value: Any) -> Any:
    """Return a value without a text that MONAI would take for code; None as it takes it."""
    if isinstance(value, str):
        return as_data(value)
    if isinstance(value, list):
        return [_data(item) for item in value]
    if isinstance(value, dict):
        return {key: _data(item) for key, item in value.items()}
    return value
