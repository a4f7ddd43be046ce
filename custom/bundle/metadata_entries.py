"""Entries of a bundle's metadata on the maps that may lie beside a restored image."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from custom.errors import InputError

__all__ = ["ResultMap", "result_maps"]

_NAME = re.compile(r"[a-z0-9]+")  # the end of a file's name, after an underscore
_LOWEST_OFFSET = 6000  # above that of restored images


@dataclass(frozen=True)
class ResultMap:
    """Description and numbering of a result map that is written as a DICOM series.

    Attributes:
        description: One sentence in ASCII.
        series_number_offset: Added to the number of the source's series.
        code: Value and meaning of a code of CID 7203 (scheme DCM) that says how it was derived;
            None if none fits.
    """

    description: str
    series_number_offset: int
    code: tuple[str, str] | None = None


def result_maps(metadata: Mapping[str, Any]) -> dict[str, ResultMap]:
    """Read the entry ``maps`` of a bundle's metadata: a :class:`ResultMap` by its name.

    Raises:
        InputError: If an entry is not of that form, or two have one offset.
    """
    stated = metadata.get("maps", {})
    if not isinstance(stated, Mapping):
        raise InputError("maps must be an object: a description and an offset by a map's name")
    found = {name: _result_map(name, entry) for name, entry in stated.items()}
    if len({entry.series_number_offset for entry in found.values()}) < len(found):
        raise InputError("maps: two have one series_number_offset")
    return found


def _result_map(name: str, entry: Any) -> ResultMap:
    """Read one entry."""
    if not _NAME.fullmatch(name):
        raise InputError(f"maps: {name!r} must be small letters and digits")
    entry = entry if isinstance(entry, Mapping) else {}
    said, offset = entry.get("description"), entry.get("series_number_offset")
    if not isinstance(said, str) or not said.strip() or not said.isascii():
        raise InputError(f"maps.{name}.description must be a sentence in ASCII, got {said!r}")
    if type(offset) is not int or offset < _LOWEST_OFFSET:
        raise InputError(
            f"maps.{name}.series_number_offset must be at least {_LOWEST_OFFSET}, got {offset!r}"
        )
    code = entry.get("code")
    if code is None:
        return ResultMap(said, offset)
    if not isinstance(code, list) or [type(part) for part in code] != [str, str]:
        raise InputError(f"maps.{name}.code must be [value, meaning], got {code!r}")
    return ResultMap(said, offset, (code[0], code[1]))
