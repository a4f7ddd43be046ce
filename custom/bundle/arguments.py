"""Arguments of the command line: their checks, and their conversion to overrides of a config."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from custom.errors import InputError

__all__ = [
    "UsageError",
    "absolute",
    "as_list",
    "gather",
    "given",
    "need_values",
    "no_more",
    "usable_device",
]


class UsageError(Exception):
    """The command was typed wrongly."""


def absolute(value: Any) -> str:
    """Return an absolute path; the command line may have read a name as a number."""
    return str(Path(str(value)).expanduser().resolve())


def given(**values: Any) -> dict[str, Any]:
    """Return the arguments that are not None."""
    return {key: value for key, value in values.items() if value is not None}


def as_list(config: Any) -> list[str]:
    """Return the overlays as a list."""
    if config is None:
        return []
    return [str(name) for name in (config if isinstance(config, (list, tuple)) else [config])]


def usable_device(name: str) -> str:
    """Return a device's name if it can be used."""
    import torch

    try:
        # Only an allocation shows it; a torch without CUDA raises an AssertionError.
        torch.empty(1, device=torch.device(name))
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"device {name!r} cannot be used: {reason}") from error
    return name


def gather(words: Sequence[str], flag: str = "--config") -> list[str]:
    """Collect the values of a flag that may be repeated or take several values."""
    rest: list[str] = []
    values: list[str] = []
    taking = False
    for word in words:
        if word == flag:
            taking = True
        elif word.startswith(f"{flag}="):
            values.append(word.removeprefix(f"{flag}="))
        elif taking and not word.startswith("-"):
            values.append(word)
        else:
            taking = False
            rest.append(word)
    # Python Fire reads the text of a list as a list.
    return [*rest, f"{flag}={values!r}"] if values else rest


def no_more(words: Sequence[Any]) -> None:
    """Refuse unexpected words, before any work is done."""
    if words:
        raise UsageError(f"unexpected {' '.join(map(str, words))!r}: see --help")


def need_values(**flags: Any) -> None:
    """Refuse a flag typed without its value, which the command line reads as ``True``."""
    for flag, value in flags.items():
        if value is True:
            raise UsageError(f"--{flag} needs a value: see --help")
