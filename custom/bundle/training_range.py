"""Compare a series with the range of a model's training data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from custom.errors import InputError

__all__ = ["KINDS", "TrainingRange"]

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
