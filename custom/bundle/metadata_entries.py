"""Entries of a bundle's metadata on its maps and on the range of its training data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from custom.errors import InputError

__all__ = ["KINDS", "ResultMap", "TrainingRange", "result_maps"]

KINDS = ("volume", "diffusion")

# Factor beyond the training range that counts as far, our choice; short name; words. The factor is
# 1.5 for spacing and contrast, which the network's filters are fitted to; 4 for size, since filters
# see a voxel's surroundings only.
_PROPERTIES = {
    "spacing_mm.in_plane": (1.5, "spacing", "pixel spacing of {} mm"),
    "spacing_mm.between_slices": (1.5, "slice-spacing", "slice spacing of {} mm"),
    "echo_time_ms": (1.5, "contrast", "echo time of {} ms"),
    "matrix.in_plane": (4.0, "size", "matrix of {} pixels"),
    "matrix.slices": (4.0, "slice-count", "number of {} slices"),
}
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


class TrainingRange:
    """Ranges of spacing, size and contrast of a model's training data.

    Args:
        stated: ``training_range`` of a bundle's metadata: ``kind`` (``volume``, or ``diffusion``
            for series of several weightings), and ``[lowest, highest]`` of
            ``spacing_mm.in_plane``, ``spacing_mm.between_slices``, ``matrix.in_plane``,
            ``matrix.slices`` and ``echo_time_ms``. An entry that is missing or null does not
            matter to the model, and is not compared.

    Raises:
        InputError: If it does not have that form.
    """

    def __init__(self, stated: Mapping[str, Any]) -> None:
        self.kind = str(stated.get("kind"))
        if self.kind not in KINDS:
            raise InputError(f"training_range.kind must be one of {KINDS}, got {self.kind!r}")
        self.limits: dict[str, tuple[float, float]] = {}
        for group in dict.fromkeys(name.partition(".")[0] for name in _PROPERTIES):
            value = stated.get(group)
            parts = {group: value}
            if isinstance(value, Mapping):
                parts = {f"{group}.{part}": limits for part, limits in value.items()}
            for name, limits in parts.items():
                if limits is not None:
                    self.limits[name] = _limits(name, limits)

    def faults(self, series: Mapping[str, Sequence[float]]) -> Iterator[tuple[str, str]]:
        """Yield each property that is far from the training data: a short name, and one line.

        Args:
            series: Values of the series by the names above (``matrix.slices``); a property without
                a value is not compared.
        """
        for name, (low, high) in self.limits.items():
            factor, slug, words = _PROPERTIES[name]
            values = series.get(name, ())
            far = [value for value in values if not low / factor <= value <= high * factor]
            if far:
                trained = f"{low:g}" if low == high else f"{low:g} to {high:g}"
                yield (
                    f"far-{slug}",
                    f"{words.format(f'{far[0]:.3g}')} is far from the {trained} of the training",
                )


def _limits(name: str, limits: Any) -> tuple[float, float]:
    """Return one range, checked."""
    if name not in _PROPERTIES:
        raise InputError(f"training_range.{name} is not known")
    try:
        low, high = (float(limit) for limit in limits)
    except (TypeError, ValueError):
        low, high = 1.0, 0.0
    if not 0 < low <= high:
        raise InputError(
            f"training_range.{name} must be [lowest, highest], above 0, got {limits!r}"
        )
    return low, high
